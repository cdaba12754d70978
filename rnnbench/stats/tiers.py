"""Samples parted into tiers of ties."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rnnbench.stats.differences import ALPHA, compare, holm
from rnnbench.stats.intervals import STANDARD, Method, centre


@dataclass(frozen=True)
class Placing:
    """Where a sample stands among others.

    Attributes:
        tier: 0 for those that tie with the best, 1 for those that tie with the best of the
            rest, and so on.
        p: of the difference from the best of all, Holm-adjusted over all comparisons with it;
            None for the best itself and for single seeds.
    """

    tier: int
    p: float | None = None


def tiers(
    samples: Sequence[Sequence[float]], higher_is_better: bool, method: Method = STANDARD
) -> list[Placing]:
    """Part samples into tiers of ties.

    The best centre leads, and in the order of centres a tier ends before the first sample that is
    worse than its leader with p < 0.05 by the method's test, Holm-adjusted over all comparisons
    with that leader. So a noisy sample cannot stand above one with a better mean for being noisy;
    its `p` still says where it cannot be told from the best. A sample of one seed cannot be
    told apart at all: it stands in the tier of its neighbour, the next better sample of several
    seeds (or where there is none, the next worse).

    Raises:
        ValueError: a sample is empty or not finite.
    """
    means = [centre(sample, method) for sample in samples]
    order = sorted(range(len(samples)), key=lambda i: -means[i] if higher_is_better else means[i])
    several = [i for i in order if len(samples[i]) > 1]
    placed: dict[int, Placing] = {}
    against_best: dict[int, float] = {}
    rest, tier = several, 0
    while rest:
        leader, others = rest[0], rest[1:]
        p_values = holm([compare(samples[leader], samples[i], method).p for i in others])
        if tier == 0:
            against_best = dict(zip(others, p_values, strict=True))
        size = next((k for k, p in enumerate(p_values, 1) if p < ALPHA), len(rest))
        placed.update((i, Placing(tier, against_best.get(i))) for i in rest[:size])
        rest = rest[size:]
        tier += 1
    current = placed[several[0]] if several else Placing(0)
    for i in order:
        current = placed.get(i, Placing(current.tier))
        placed[i] = current
    return [placed[i] for i in range(len(samples))]
