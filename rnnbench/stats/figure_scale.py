"""Chooses whether figures are compared as they are or by their logarithms."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np

Scale = Literal["linear", "log"]
APART = 1.5  # below this ratio of the largest centre to the smallest both scales say the same
EVIDENCE = 2.0  # difference of log likelihoods from which on the figures are on the log scale


def choose_scale(samples: Sequence[np.ndarray]) -> tuple[Scale, str]:
    """Return the scale on which seeds vary more alike in all rows, and the reason in words.

    The likelihood of normal noise with one spread for all rows is compared on both scales.
    Logarithms are taken where it is larger by a factor of e² there, and the rows far enough apart
    for it to matter.

    Source: Box & Cox (1964), J. Royal Statistical Society B 26, eq. 8, at 0 and 1.
    """
    figures = np.concatenate(samples) if len(samples) else np.empty(0)
    if not len(figures) or figures.min() <= 0:
        return "linear", "some figures are 0 or less"
    several = [s for s in samples if len(s) > 1 and np.ptp(s) > 0]
    if len(several) < 2:
        return "linear", "fewer than two rows vary over several seeds"
    centres = [float(np.exp(np.log(s).mean())) for s in samples if len(s)]
    if max(centres) < APART * min(centres):
        return "linear", "the rows' figures are of one size"
    gain = _fit([np.log(s) for s in several]) - _fit(several)
    gain -= sum(float(np.log(s).sum() * (len(s) - 1) / len(s)) for s in several)
    if gain < EVIDENCE:
        return "linear", "seeds do not vary in proportion to the figures"
    return "log", "seeds vary in proportion to the figures"


def _fit(samples: Sequence[np.ndarray]) -> float:
    """Return the log likelihood of one spread for all rows, up to a constant."""
    df = sum(len(s) - 1 for s in samples)
    squares = sum(float(((s - s.mean()) ** 2).sum()) for s in samples)
    return -df / 2 * math.log(squares / df)
