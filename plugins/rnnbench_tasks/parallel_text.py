"""Translation between any two aligned files, or two columns of one."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal

from rnnbench.contract import Source, setting
from rnnbench.data import DataError, own_file
from rnnbench.data.tasks.corpus_translation import Corpus, TextTranslation
from rnnbench.data.tasks.translation import SPLITS
from rnnbench.data.text.parallel_files import aligned_pairs, column_pairs

LOOKED_AT = 20_000  # training targets by which what ranks is chosen
BLEU_WORDS = 4  # that BLEU counts together
FEW_WORDS = 64  # kinds of words, up to which a language is a formal one
FORMAL = 50  # times that each kind of them is met at least, on average

_ROLES = {
    "train": ("source_file", "target_file"),
    "valid": ("valid_source_file", "valid_target_file"),
    "test": ("test_source_file", "test_target_file"),
}


@dataclass(frozen=True)
class ParallelText(TextTranslation):
    """Turn one text into another: your own pairs, from two aligned files or one of columns.

    `source_file` and `target_file` are aligned line by line. Where `target_file` is empty,
    `source_file` has both sides in columns between tabs, without quoting. Files ending in .gz are
    unpacked as they are read; only a line feed ends a line; a blank line is an empty text.
    Validation and test come from files of their own, of the same form. Without them pairs are
    dealt out by a hash of the source text, in lower case and without white space: 1 in 10 to
    validation, 1 in 10 to test, so that equal sources are in one split.
    Where a hash leaves a split empty, give it a file. Moses tokens follow the rules of the two
    languages, which are otherwise not used.
    The data version rests on the content of the files.

    What ranks follows the data, unless `headline` says it: exact match where fewer than half of the
    training targets have four words, which is what BLEU counts, or all of them are made of few
    words, as those of a formal language are; else BLEU. Exact match is always reported, and the
    rate of wrong characters beside it where it ranks.
    Baselines: the source as it is, and the commonest target of training.

    Source: the user's own files; the split by hash is this benchmark's own.
    """

    version: ClassVar[int] = 3  # 2 always ranked by BLEU; 1 had another length_ratio
    tiny: ClassVar[dict[str, Any]] = {
        "source_file": str(Path(__file__).with_name("number_words.tsv")),
        "source_column": 2,
        "target_column": 1,
        "vocabulary": 320,
    }

    source_file: str = setting("", "text of the source side, or both sides in columns")
    target_file: str = setting("", "text of the target side; empty: columns of source_file")
    valid_source_file: str = setting("", "validation; empty: a part of source_file")
    valid_target_file: str = setting("", "validation, the target side")
    test_source_file: str = setting("", "test; empty: a part of source_file")
    test_target_file: str = setting("", "test, the target side")
    source_column: int = setting(1, "column of the source, from 1", low=1)
    target_column: int = setting(2, "column of the target, from 1", low=1)
    header: bool = setting(False, "the first line of a file of columns names them")
    encoding: str = setting("utf-8", "of all files")
    source_language: str = setting("en", "code of the language, for Moses tokens")
    target_language: str = setting("de", "code of the language, for Moses tokens")
    headline: Literal["auto", "bleu", "chrf", "exact", "ter", "cer"] = setting(  # type: ignore[assignment]
        "auto", "what ranks: exact match, bleu, chrf, ter or cer; auto: by the targets", added=True
    )
    vocabulary: int = setting(
        1000, "subwords, shared by both sides; of words the most of a side", low=300, high=65535
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        named = self._named_files()
        for source, target in _ROLES.values():
            if target in named and source not in named:
                raise ValueError(f"parallel-text: there is a {target} and no {source}")
            if source in named and (target in named) != ("target_file" in named):
                raise ValueError(
                    f"parallel-text: {source} and source_file are not of one form: give both "
                    "files of targets, or neither"
                )

    @property
    def measures(self) -> tuple[str, ...]:
        """Return the names of what is reported, the headline first."""
        headline: str = self.headline
        if headline == "auto":
            headline = self._prepared_headline if self.source_file else "bleu"
        chosen = [] if self.select_by in ("headline", "loss") else [self.select_by]
        beside = ["cer"] if headline == "exact" else []
        names = [headline, *chosen, "exact", *beside, "bleu", "chrf", "length_ratio"]
        return tuple(dict.fromkeys(names))

    @cached_property
    def _prepared_headline(self) -> str:
        return suitable_headline([target for _, target in self.texts("train")])

    @property
    def languages(self) -> tuple[str, str]:
        return self.source_language, self.target_language

    def sources(self) -> tuple[Source, ...]:
        """Return the files as they are now; none as long as no file is named."""
        return tuple(own_file(name, role) for role, name in self._named_files().items())

    def choice(self) -> dict[str, Any]:
        names = ("source_column", "target_column", "header", "encoding")
        names += ("source_language", "target_language")
        packed = {role: name.endswith(".gz") for role, name in self._named_files().items()}
        return {"packed": packed} | {name: getattr(self, name) for name in names}

    def corpus(self, *folders: Path) -> Corpus:
        if not self.source_file:
            raise DataError(
                "parallel-text: no text is named.\n  Set task.source_file and task.target_file to "
                "two aligned files, or task.source_file to one of columns."
            )
        paths = {
            role: folder / Path(name).name
            for folder, (role, name) in zip(folders, self._named_files().items(), strict=True)
        }
        dealt: dict[str, list[tuple[str, str]]] = {split: [] for split in SPLITS}
        files = {
            split: self._pairs(paths[source], paths.get(target))
            for split, (source, target) in _ROLES.items()
            if source in paths
        }
        for pair in files.pop("train"):
            split = _split_of(pair[0])
            dealt["train" if split in files else split].append(pair)
        return dealt | files

    def _named_files(self) -> dict[str, str]:
        """Return the fields that name a file, with its path."""
        roles = (role for pair in _ROLES.values() for role in pair)
        return {role: getattr(self, role) for role in roles if getattr(self, role)}

    def _pairs(self, source: Path, target: Path | None) -> list[tuple[str, str]]:
        if target:
            pairs = aligned_pairs(source, target, self.encoding)
        else:
            columns = (self.source_column, self.target_column)
            pairs = column_pairs(source, columns, header=self.header, encoding=self.encoding)
        if not any(side for pair in pairs for side in pair):
            raise DataError(f"{source} has no text in its {len(pairs):,} pairs")
        return pairs


def suitable_headline(targets: Sequence[str]) -> str:
    """Return what measures outputs that should be such targets: "exact" or "bleu"."""
    words = [target.split() for target in targets[:LOOKED_AT]]
    long = sum(len(text) >= BLEU_WORDS for text in words)
    kinds = len({word for text in words for word in text})
    formal = kinds <= FEW_WORDS and sum(map(len, words)) >= FORMAL * kinds
    return "exact" if 2 * long < len(words) or formal else "bleu"


def _split_of(text: str) -> str:
    folded = "".join(text.lower().split())
    tenth = int.from_bytes(hashlib.sha256(folded.encode()).digest()[:4], "big") % 10
    return {0: "test", 1: "valid"}.get(tenth, "train")
