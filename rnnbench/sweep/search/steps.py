"""Numbers as they are written: 0.1 + 6 * 0.1 is 0.7, which sums of floats miss."""

from __future__ import annotations

from fractions import Fraction


def exact(number: float) -> Fraction:
    """Return the number that a float is written as: 1/10 for 0.1, which itself is a bit more."""
    return Fraction(repr(number))


def written(number: Fraction) -> str:
    """Return a number as it would be written, without a point where it is whole."""
    return str(int(number) if number.denominator == 1 else float(number))


def nearest_step(low: float, step: float, value: float) -> Fraction:
    """Return the number that lies a whole number of steps above `low` and is next to a value."""
    return exact(low) + round((Fraction(value) - exact(low)) / exact(step)) * exact(step)


def count_steps(low: float, high: float, step: float) -> int:
    """Return how many numbers there are from `low` to `high` in steps, both counted."""
    return round((exact(high) - exact(low)) / exact(step)) + 1


def step_at(low: float, step: float, index: int) -> Fraction:
    """Return the number that lies `index` steps above `low`."""
    return exact(low) + index * exact(step)
