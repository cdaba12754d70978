"""The aims of a search: objectives, constraints, the front of best compromises, an early end.

Everything here depends only on trials that have ended.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rnnbench.sweep.file.search_options import Bound, ChosenMethod


class MissingValueError(ValueError):
    """A finished run lacks the value of an objective; the message says which."""


Costs = Mapping[str, float]  # by name in `rnnbench.results.record.COSTS`; finite values only


def objective_values(
    objectives: Sequence[str], value: float | None, costs: Costs
) -> tuple[float, ...]:
    """Return the values of a finished trial, one for each objective.

    Raises:
        MissingValueError: one is not there; the message says which.
    """
    if value is None:
        raise MissingValueError("its record has no finite value")
    values = []
    for name in objectives:
        if name != "validation" and name not in costs:
            raise MissingValueError(
                f"its record has no {name}, which is an objective of the search"
            )
        values.append(value if name == "validation" else costs[name])
    return tuple(values)


def violations(bounds: Sequence[Bound], costs: Costs) -> dict[str, float]:
    """Return by how much each constraint with a known cost is broken; 0 or less: it holds."""
    return {b.cost: b.violation(costs[b.cost]) for b in bounds if b.cost in costs}


def complaints(bounds: Sequence[Bound], costs: Costs) -> str:
    """Say which constraints are broken, and by how much; return "" where none is."""
    broken = [b for b in bounds if b.cost in costs and b.violation(costs[b.cost]) > 0]
    return "; ".join(b.complaint(costs[b.cost]) for b in broken)


@dataclass(frozen=True)
class TrialPoint:
    """A finished trial that breaks no constraint.

    Attributes:
        losses: one for each objective, the smaller the better.
    """

    number: int
    losses: tuple[float, ...]

    def dominates(self, other: TrialPoint) -> bool:
        """Tell whether this trial is at least as good by every objective and better by one.

        Of two equal trials the earlier one dominates.
        """
        if self.losses == other.losses:
            return self.number < other.number
        return all(a <= b for a, b in zip(self.losses, other.losses, strict=True))


class BestTrials:
    """The Pareto front: the trials that no other trial dominates, kept up as trials end."""

    def __init__(self) -> None:
        self.points: list[TrialPoint] = []

    def add(self, new: TrialPoint) -> None:
        """Add a trial, and drop the trials that it dominates."""
        if any(p.dominates(new) for p in self.points):
            return
        self.points = [p for p in self.points if not new.dominates(p)]
        self.points.append(new)

    @property
    def best(self) -> TrialPoint | None:
        """Return the best trial by the first objective; of equals by the next ones, then first."""
        return min(self.points, key=lambda p: (p.losses, p.number), default=None)

    def spread(self, count: int) -> list[TrialPoint]:
        """Return at most `count` trials of the front, the best first, each far from the others.

        Distances are between ranks, so that no unit of a cost weighs more than another.
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
        others = sorted((p for p in self.points if p is not best), key=lambda p: p.number)
        while others and len(chosen) < count:
            far = max(
                others,
                key=lambda p: min(math.dist(ranks[p.number], ranks[c.number]) for c in chosen),
            )
            chosen.append(far)
            others.remove(far)
        return chosen


class GainRule:
    """The rule `gain`: the search of a cell ends once its best value no longer gets better.

    It reads trials in the order of their numbers, up to the first that has not ended, so its
    verdict does not depend on which of several workers was faster, nor on restarts.

    Attributes:
        verdict: why the search ends; None while it goes on.
    """

    def __init__(self, chosen: ChosenMethod) -> None:
        self._rule = chosen if chosen.name == "gain" else None
        self._waiting: dict[int, float] = {}
        self._best: list[float] = []  # at [n - 1] the best loss of the first n trials
        self.verdict: str | None = None

    def end(self, number: int, loss: float) -> None:
        """Note that a trial has ended, with a loss of infinity where it has no value."""
        if self._rule is None or self.verdict is not None:
            return
        self._waiting[number] = loss
        while self.verdict is None and len(self._best) in self._waiting:
            next_loss = self._waiting.pop(len(self._best))
            self._best.append(min(next_loss, self._best[-1] if self._best else math.inf))
            self._judge(self._rule)

    def _judge(self, rule: ChosenMethod) -> None:
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
