"""The embedded Reber grammar: the last but one symbol is the second one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar

import torch
from torch import Tensor

from rnnbench.contract import Batch, Meter, Metric
from rnnbench.data.tasks.synthetic import Figures, score
from rnnbench_tasks._grammars import Automaton, LegalStrings, Strings

SYMBOLS = "BTSXPVE"
REBER: tuple[dict[str, int], ...] = (
    {"B": 1},
    {"T": 2, "P": 3},
    {"S": 2, "X": 4},
    {"T": 3, "V": 5},
    {"X": 3, "S": 6},
    {"P": 4, "V": 6},
    {"E": 7},
)


@cache
def grammar() -> Automaton:
    """Return the grammar of B, T or P, a string of the Reber grammar, the same T or P again, E."""
    moves: list[dict[str, int]] = [{"B": 1}, {}]
    ends = []
    for letter in "TP":
        first = len(moves)
        moves[1][letter] = first
        moves += [{s: first + to for s, to in next_states.items()} for next_states in REBER]
        ends.append((len(moves), letter))
        moves.append({})
    for place, letter in ends:
        moves[place] = {letter: len(moves)}
    moves += [{"E": len(moves) + 1}, {}]
    tokens = [{SYMBOLS.index(s): to for s, to in next_states.items()} for next_states in moves]
    return Automaton(tokens, len(SYMBOLS))


@dataclass(frozen=True)
class EmbeddedReber(Strings):
    """Predict the next symbol of strings of the embedded Reber grammar.

    A string is B, then T or P, a string of the Reber grammar, the same T or P again, and E. Where
    the grammar branches, both ways are as likely. All but the last T or P follows from the two
    symbols before; that one has to be kept through the string inside, of 5 symbols or more.

    "strings" is the share of strings at all of whose steps the legal next symbols, one or two, are
    the most active outputs; "bits" is the mean loss, which the grammar's own branches keep above 0.
    Baselines: pairs of symbols counted in training; the grammar without the memory of the second
    symbol, one bit a string more than needed and no string right; and the grammar, the best there
    is.
    Solved: all strings of the test split right, strings = 1, as in the original, which takes 256
    for training and 256 for test. Here training strings are drawn afresh in every epoch;
    validation and test are fixed, and many of their short strings occur in training too.

    Source: Hochreiter & Schmidhuber (1997), Neural Computation 9(8), experiment 1; the grammar:
    Cleeremans, Servan-Schreiber & McClelland (1989), Neural Computation 1(3), after Reber (1967).
    """

    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric("strings", "share", higher_is_better=True, help="strings right at every step"),
        Metric("bits", "bits", help="nats a symbol / ln 2, over the whole split"),
    )
    recommended: ClassVar[Mapping[str, Any]] = {
        "optimizer.batch": 32,
        "optimizer.lr": 5e-3,
        "budget.steps": 2000,
        "budget.validate_every": 200,
    }
    tiny: ClassVar[Mapping[str, Any]] = {"train_items": 600, "valid_items": 100, "test_items": 100}

    @property
    def symbols(self) -> Sequence[str]:
        return SYMBOLS

    def string(self, draw: Callable[[], float], split: str) -> list[int]:
        return grammar().string(draw)

    def meter(self, split: str) -> Meter:
        return LegalStrings(legal)

    def baselines(self, split: str) -> Figures:
        def knows(batch: Batch) -> Tensor:
            return legal(batch).double().log()

        def forgets(batch: Batch) -> Tensor:
            allowed = legal(batch)
            assert batch.x_len is not None
            last_but_one = torch.arange(batch.x.shape[1]) == batch.x_len[:, None] - 2
            either_V = torch.tensor([symbol in "TP" for symbol in SYMBOLS])
            return torch.where(last_but_one[..., None], either_V, allowed).double().log()

        return {
            "bigram, add-one": score(self, split, self.bigram()),
            "grammar without memory": score(self, split, forgets),
            "grammar": score(self, split, knows),
        }


def legal(batch: Batch) -> Tensor:
    """Return (B, T, V): which symbols may come next."""
    return grammar().legal(batch.x)
