"""Lets the loss choose where the selection metric tells nothing. No torch.

A metric that is the same at every validation, such as BLEU on answers of one word, cannot tell a
good checkpoint from a bad one, nor one trial of a search from another. From its first repetition
on, and as long as it has not moved, the validation with the lowest loss is the best. A metric that
has moved chooses alone, as if nothing had been.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

SO = ", so the loss chose"
SHARE = 1e-6  # of a value: what a loss adds to it, at most; less than figures of metrics differ by


def is_blind(values: Sequence[float], *, higher_is_better: bool) -> bool:
    """Tell whether a metric has told nothing at any validation so far.

    It has not moved; of one validation alone: it is 0 where it should be high.
    """
    if any(value != values[0] for value in values):
        return False
    return len(values) > 1 or (higher_is_better and list(values) == [0.0])


def why_blind(metric: str, values: Sequence[float]) -> str:
    """Say why a metric told nothing."""
    where = "the only validation" if len(values) == 1 else f"all {len(values)} validations"
    return f"{metric} was {values[0]:.6g} at {where}"


def with_loss(value: float, loss: float | None, *, higher_is_better: bool) -> float:
    """Return a value that is told from equal ones by the loss.

    It is better than the value by a millionth at most, the more so the lower the loss: whatever
    compares single numbers, as searches do, so compares values first, and losses where these are
    equal.
    """
    if loss is None or not math.isfinite(loss):
        return value
    credit = 0.5 * (1 - loss / (1 + abs(loss)))  # 1 for a loss of -inf, 0 for one of inf
    added = SHARE * (abs(value) or 1.0) * credit
    return value + added if higher_is_better else value - added


def without_loss(value: float, *, higher_is_better: bool) -> float:
    """Return a value for a reader, without what `with_loss` may have added to 0."""
    return 0.0 if higher_is_better and 0 < value <= SHARE else value


def compared_value(selection: dict[str, Any]) -> float | None:
    """Return the value by which a search compares a run, given its record's `selection`."""
    value, fallback = selection.get("value"), selection.get("fallback")
    if value is None or not fallback:
        return value
    higher = bool(selection.get("higher_is_better"))
    value = 0.0 if fallback["unmeasurable"] else value
    return with_loss(value, fallback["value"], higher_is_better=higher)


def compared_values(
    values: Sequence[float | None],
    losses: Sequence[float | None],
    *,
    higher_is_better: bool,
    by_loss: bool,
    unmeasurable: bool,
) -> list[float | None]:
    """Return the values by which a search compares validations, as they were known at each.

    Args:
        values, losses: of a run, at each validation in turn.
        by_loss: the values are losses themselves.
        unmeasurable: the metric could not have told anything, whatever it was.
    """
    compared: list[float | None] = []
    first, count, still = None, 0, not by_loss
    for value, loss in zip(values, losses, strict=True):
        if value is not None:
            first, count = (value if first is None else first), count + 1
            still = still and value == first
            blind = still and is_blind([value] * min(count, 2), higher_is_better=higher_is_better)
            if blind or unmeasurable:
                told = 0.0 if unmeasurable else value
                value = with_loss(told, loss, higher_is_better=higher_is_better)
        compared.append(value)
    return compared
