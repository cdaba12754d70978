"""Defines what a board says of two rows: better, worse, equal or open. Pure; numbers in, words out.

There is one table of pairs to a board. Ranks, contenders, `--against`, tables of pairs, effects of
tricks and claims read it, so that no two places contradict each other.

    better, worse   shown, at the board's level for all its pairs together
    equal           shown to differ by less than the board's margin
    open            neither: more seeds may settle it
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from rnnbench.leaderboard.verdicts.equality import OTHERS, EqualWithin
from rnnbench.stats import LEVEL, Estimate

Relation = Literal["better", "worse", "equal", "open"]
ONE_SEED = "one seed of {} says nothing about spread: take three or more"
OPPOSITE: Mapping[Relation, Relation] = {
    "better": "worse", "worse": "better", "equal": "equal", "open": "open",
}  # fmt: skip


@dataclass(frozen=True)
class RowPair:
    """The verdict on a row against another, or against a trivial baseline.

    Attributes:
        relation: of `row` to `other`.
        difference: of their centres in the headline's unit; positive: `row` is better. Its interval
            holds for all pairs of the board together; None on the log scale.
        ratio: `row`'s centre over `other`'s with that interval, on the log scale; else None.
        p: adjusted for all pairs of the board; None where nothing can be tested.
        error: standard error of the difference, of the logarithms on the log scale; None unknown.
        within_margin: the interval lies within the margin of equality: where one row is better all
            the same, the difference is there and does not matter.
        more_seeds: how many more of each would settle an open pair if the figures stayed as they
            are; None: more than `BoardVerdicts.most_seeds`, or `note` says why it cannot be told.
        note: why nothing can be told, or what a reader must know.
    """

    row: str
    other: str
    relation: Relation
    difference: Estimate
    ratio: Estimate | None = None
    p: float | None = None
    error: float | None = None
    within_margin: bool = False
    more_seeds: int | None = None
    note: str = ""

    def turned(self) -> RowPair:
        """Return the same pair as seen by the other row."""
        d, r = self.difference, self.ratio
        return dataclasses.replace(
            self,
            row=self.other,
            other=self.row,
            relation=OPPOSITE[self.relation],
            difference=Estimate(-d.mean or 0.0, d.n, d.deviation, _minus(d.high), _minus(d.low)),
            ratio=r and Estimate(1 / r.mean, r.n, None, _over(r.high), _over(r.low)),
        )


def _minus(value: float | None) -> float | None:
    return None if value is None else -value or 0.0


def _over(value: float | None) -> float | None:
    return None if not value else 1 / value


@dataclass(frozen=True)
class BoardVerdicts:
    """The verdicts on all pairs of a board.

    Attributes:
        level: the probability with which all of them hold together.
        look: at which level this look at the results is taken for that, where seeds were added by
            looking at them before; else the level itself.
        leader: the row from which the others are looked at: the one with the best centre of those
            of several seeds, or where there are none of all; "" without ranked rows.
        method: how they came about, in words.
        scale: "log" where logarithms are compared; `scale_reason` says why it was chosen.
        equal_within: the margin of equality.
        contenders: the rows that contain the best, at the level; () without ranked rows.
        places: row -> the best and the worst place that it may have; in the order of the centres.
        centres: row -> what is compared of it, with its own 95% interval.
        pairs: each pair of ranked rows once, the row with the better centre first.
        baselines: each ranked row against each trivial baseline.
        most_seeds: that an open pair is said to need.
        assumptions: what was taken for granted, in sentences.
    """

    level: float = LEVEL
    look: float = LEVEL
    leader: str = ""
    method: str = ""
    scale: Literal["linear", "log"] = "linear"
    scale_reason: str = ""
    equal_within: EqualWithin = OTHERS
    contenders: tuple[str, ...] = ()
    places: Mapping[str, tuple[int, int]] = dataclasses.field(default_factory=dict)
    centres: Mapping[str, Estimate] = dataclasses.field(default_factory=dict)
    pairs: tuple[RowPair, ...] = ()
    baselines: tuple[RowPair, ...] = ()
    most_seeds: int = 0
    assumptions: tuple[str, ...] = ()

    def between(self, row: str, other: str) -> RowPair:
        """Return the verdict on a row against another row, as seen by the first.

        Raises:
            KeyError: they were not compared.
        """
        return self._by_names[row, other]

    def against_baseline(self, row: str, baseline: str) -> RowPair:
        """Return the verdict on a row against a trivial baseline.

        Raises:
            KeyError: they were not compared.
        """
        return self._against_baselines[row, baseline]

    def count(self) -> dict[str, int]:
        """Return how many pairs show one row to be better, are equal, and are open."""
        relations = [pair.relation for pair in self.pairs]
        shown = relations.count("better") + relations.count("worse")
        return {"better": shown, "equal": relations.count("equal"), "open": relations.count("open")}

    @functools.cached_property
    def _by_names(self) -> dict[tuple[str, str], RowPair]:
        return {(p.row, p.other): p for p in self.pairs} | {
            (p.other, p.row): p.turned() for p in self.pairs
        }

    @functools.cached_property
    def _against_baselines(self) -> dict[tuple[str, str], RowPair]:
        return {(p.row, p.other): p for p in self.baselines}


NOTHING_JUDGED = BoardVerdicts()


def places_of(names: Sequence[str], pairs: Sequence[RowPair]) -> dict[str, tuple[int, int]]:
    """Return the best and the worst place of each row: after those shown to be better, and before
    those shown to be worse."""
    above, below = dict.fromkeys(names, 0), dict.fromkeys(names, 0)
    for pair in pairs:
        better = {"better": (pair.row, pair.other), "worse": (pair.other, pair.row)}
        if pair.relation in better:
            first, second = better[pair.relation]
            below[first] += 1
            above[second] += 1
    return {name: (1 + above[name], len(names) - below[name]) for name in names}
