"""What a search aims for: objectives, constraints, the front of the best compromises, and an end.

Everything here is a pure function of what is known of ended trials.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rnnbench.sweep.file.search_options import Bound, Chosen

Costs = Mapping[str, float]  # of `rnnbench.results.record.COSTS`, finite


def objective_values(
    objectives: Sequence[str], value: float | None, costs: Costs
) -> tuple[float, ...]:
    """The values of a finished trial.

    Raises:
        ValueError: one is not there; the message says which.
    """
    if value is None:
        raise ValueError("its record has no finite value")
    found = []
    for name in objectives:
        if name != "validation" and name not in costs:
            raise ValueError(f"its record has no {name}, which is an objective of the search")
        found.append(value if name == "validation" else costs[name])
    return tuple(found)


def violations(bounds: Sequence[Bound], costs: Costs) -> dict[str, float]:
    """How far each constraint is broken (0 or less: it holds), where the cost is known."""
    return {b.cost: b.violation(costs[b.cost]) for b in bounds if b.cost in costs}


def complaints(bounds: Sequence[Bound], costs: Costs) -> str:
    """Which constraints are broken, and how far; empty where none is."""
    broken = [b for b in bounds if b.cost in costs and b.violation(costs[b.cost]) > 0]
    return "; ".join(b.complaint(costs[b.cost]) for b in broken)


@dataclass(frozen=True)
class TrialPoint:
    """A finished trial that breaks no constraint.

    Attributes:
        losses: of its objectives: the smaller the better.
    """

    number: int
    losses: tuple[float, ...]

    def dominates(self, other: TrialPoint) -> bool:
        """At least as good by every objective, and better by one; of equals the first."""
        if self.losses == other.losses:
            return self.number < other.number
        return all(a <= b for a, b in zip(self.losses, other.losses, strict=True))


class BestTrials:
    """The trials that no other is better than by every objective, as trials end."""

    def __init__(self) -> None:
        self.points: list[TrialPoint] = []

    def add(self, new: TrialPoint) -> None:
        if any(p.dominates(new) for p in self.points):
            return
        self.points = [p for p in self.points if not new.dominates(p)]
        self.points.append(new)

    @property
    def best(self) -> TrialPoint | None:
        """By the first objective; of equals by the next ones, then the first trial."""
        return min(self.points, key=lambda p: (p.losses, p.number), default=None)

    def spread(self, count: int) -> list[TrialPoint]:
        """At most `count` of them, the best by the first objective first, each far from the rest.

        Distances are those of ranks, so that no unit of a cost weighs more than another.
        """
        best = self.best
        if best is None:
            return []
        ranks: dict[int, list[int]] = {p.number: [] for p in self.points}
        for i in range(len(best.losses)):
            order = sorted(self.points, key=lambda p, i=i: (p.losses[i], p.number))  # type: ignore[misc]
            for rank, point in enumerate(order):
                ranks[point.number].append(rank)
        chosen = [best]
        rest = sorted((p for p in self.points if p is not best), key=lambda p: p.number)
        while rest and len(chosen) < count:
            far = max(
                rest,
                key=lambda p: min(math.dist(ranks[p.number], ranks[c.number]) for c in chosen),
            )
            chosen.append(far)
            rest.remove(far)
        return chosen


class Gain:
    """The rule `gain`: the search of a cell ends where its best value no longer gets better.

    It reads trials in the order of their numbers, up to the first that has not ended, so its
    verdict does not depend on which of several workers was faster, nor on restarts.
    """

    def __init__(self, chosen: Chosen) -> None:
        self._rule = chosen if chosen.name == "gain" else None
        self._waiting: dict[int, float] = {}
        self._best: list[float] = []  # loss of the best of the first n trials
        self.verdict: str | None = None  # why the search ends

    def end(self, number: int, loss: float) -> None:
        """A trial has ended; a loss of infinity: without a value."""
        if self._rule is None or self.verdict is not None:
            return
        self._waiting[number] = loss
        while self.verdict is None and len(self._best) in self._waiting:
            found = self._waiting.pop(len(self._best))
            self._best.append(min(found, self._best[-1] if self._best else math.inf))
            self._judge(self._rule)

    def _judge(self, rule: Chosen) -> None:
        ended, window = len(self._best), rule["trials"]
        if ended < max(window + 1, rule["first"]):
            return
        before, now = self._best[-1 - window], self._best[-1]
        if not math.isfinite(before):  # no value so far: there is nothing that could be kept
            return
        gain = (before - now) / abs(before) if before else before - now
        if gain < rule["least"]:
            self.verdict = (
                f"the last {window} of {ended} trials bettered the best value by {gain:.2%}, and "
                f"less than {rule['least']:.2%} ends the search"
            )
