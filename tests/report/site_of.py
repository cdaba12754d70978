"""Sites of made-up results, for tests."""

from __future__ import annotations

import contextlib
import dataclasses
import threading

from support.fake_records import REFUSED, fake_records, make_record, make_spec

from rnnbench.leaderboard.boards import build
from rnnbench.leaderboard.types import CellImportance
from rnnbench.registry.published_results import Published
from rnnbench.report.site.gather import Gathered
from rnnbench.report.site.server import Pages, Server
from rnnbench.report.site.sweeps import SweepCell, SweepView, Trial
from rnnbench.results.record import FLOW, Status

EVIL = "<script>window.hacked=1</script>\"'><img src=x onerror=window.hacked=1>"
EVIL_TASK = "../../../etc/<img src=x onerror=window.hacked=1>"
DRAWINGS = [
    {
        "kind": "attention", "source": ["der", "Hund", "(end)"], "output": ["the", "dog"],
        "percent": [[90, 10, 0], [5, 95, 0]],
    },
    {
        "kind": "series", "past": [0.1, 0.2, None, 0.3], "truth": [0.4, 0.5],
        "forecast": [0.35, 0.55],
    },
    {"kind": "text", "text": "ROMEO:\nBut soft"},
]  # fmt: skip
ZAREMBA = Published(
    "LSTM, 2 layers of 1500", "bits_per_char", 1.7,
    "Zaremba, Sutskever and Vinyals (2014), arXiv:1409.2329", "table 1", 2014, "words, test",
    "measured by its authors",
)  # fmt: skip


def trial(cell, number, state, status=None, run_id="absent", final=False, reason=None):
    return Trial(
        f"quick/{cell}/{number}", final, number, state, status or state, reason, run_id, 1.5, 1, {}
    )


def good():
    """Three tasks, a sweep of every state, examples, published results."""
    records = fake_records()
    for record in records:
        for place, point in enumerate(record.curve):
            point[2][f"{FLOW}cell.0"] = 0.1 / (place + 1)
    ended = [r for r in records if r.spec.architecture.name == "lstm" and r.spec.test]
    cells = (
        SweepCell(
            "char-lm", "lstm", (), "char-lm.lstm", None,
            (trial("a", 0, "done", run_id=ended[0].run_id), trial("a", 1, "pruned"),
             trial("a", 2, "failed", "nan", reason="the loss is nan"), trial("a", 3, "running"),
             trial("a", 1, "done", final=True)),
        ),
        SweepCell("char-lm", "transformer", ("zoneout",), "x", REFUSED[0]["reason"], ()),
    )  # fmt: skip
    return Gathered(
        boards=build(records),
        records=records,
        refused=REFUSED,
        sweeps=[SweepView("quick", "running", "quick.yaml", "name: quick\n\ntasks: []\n", cells)],
        literature={"char-lm": (ZAREMBA,)},
        about={"char-lm": "Predict the next character."},
        mattered=lambda sweep: MATTERED,
        examples=lambda run_id: DRAWINGS if run_id.startswith("char-lm") else (),
    )


MATTERED = (
    CellImportance("quick", "char-lm.gru", "char-lm", "gru", ("clip",), 12,
                   (("optimizer.lr", 0.83), ("architecture.hidden", 0.17))),
    CellImportance("quick", "char-lm.lstm", "char-lm", "lstm", (), 3, (), "3 are too few"),
)  # fmt: skip


def hostile():
    """Return texts that a plugin's author, a settings file or a stranger's record could hold."""
    spec = make_spec(EVIL_TASK, EVIL, (EVIL, "\x1b[31m\u202eevil"))
    spec = dataclasses.replace(
        spec,
        architecture=dataclasses.replace(spec.architecture, settings=((EVIL, EVIL),)),
        data="</script><script>window.hacked=1</script>",
    )
    told = {EVIL: {"version": EVIL, "commit": None, "dirty": None}}
    records = [
        make_record(
            dataclasses.replace(spec, seed=seed),
            1.5 + seed / 10,
            metrics=[{"name": EVIL, "unit": EVIL, "higher_is_better": False, "help": EVIL}],
            baselines={EVIL: {EVIL: 3.0}},
            examples=[{EVIL: EVIL}],
            provenance={"command": EVIL, "os": EVIL, "distributions": told, "machine": {}},
        )
        for seed in range(2)
    ]
    metrics = records[0].metric_info
    failed = make_record(
        dataclasses.replace(spec, seed=9), status=Status.OOM, reason=EVIL, metrics=metrics
    )
    records = [*records, dataclasses.replace(failed, sweep=EVIL, study=EVIL)]
    cell = SweepCell(
        EVIL_TASK, EVIL, (EVIL,), EVIL, None, (trial(EVIL, 0, "failed", reason=EVIL),)
    )  # fmt: skip
    link = dataclasses.replace(
        ZAREMBA, paper=f"{EVIL}, javascript:window.hacked=1", metric=EVIL, model=EVIL
    )
    drawn = [
        {**DRAWINGS[0], "source": [EVIL, EVIL, EVIL]},
        {"kind": "text", "text": EVIL},
        {"kind": "series", "past": EVIL, "truth": [EVIL], "forecast": {EVIL: EVIL}},
        {"kind": "attention", "source": EVIL, "percent": [[1]], "output": [1]},
    ]
    return Gathered(
        boards=build(records),
        records=records,
        refused=[{"task": EVIL_TASK, "architecture": EVIL, "tricks": [EVIL], "reason": EVIL}],
        sweeps=[SweepView(EVIL, "running", EVIL, EVIL, (cell,))],
        literature={EVIL_TASK: (link,)},
        about={EVIL_TASK: EVIL},
        mattered=lambda sweep: (
            dataclasses.replace(
                MATTERED[0], architecture=EVIL, task=EVIL_TASK, shares=((EVIL, 1.0),), note=EVIL
            ),
        ),
        examples=lambda run_id: drawn,
        damaged={EVIL: EVIL},
    )


@contextlib.contextmanager
def serving(root):
    """A server of the results under `root`, in a thread."""
    pages = Pages(root)
    server = Server(pages, "127.0.0.1", 0)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
        pages.close()
