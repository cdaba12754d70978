"""Checks arguments that the command line checks by the type of its options."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rnnbench.errors import SpecError
from rnnbench.registry.registry import did_you_mean
from rnnbench.spec.seeds import complaint


def refuse_other(name: str, value: str | None, known: Sequence[str]) -> None:
    """Refuse a word that is none of those that an argument takes; None is the default.

    Raises:
        SpecError
    """
    if value is not None and value not in known:
        raise SpecError(
            f"{name}={value!r}: it takes {', '.join(known)}{did_you_mean(str(value), known)}"
        )


def refuse_no_name(name: str, value: object) -> None:
    """Refuse what is no name, where a plugin goes by its name alone; None is the default.

    Raises:
        SpecError
    """
    if value is not None and not isinstance(value, str):
        raise SpecError(f"{name}={value!r:.80}: it takes the name of a plugin, such as 'char-lm'")


def refuse_no_mapping(name: str, value: object) -> None:
    """Refuse what is no mapping of settings; None is the default.

    Raises:
        SpecError
    """
    if value is not None and not isinstance(value, Mapping):
        raise SpecError(
            f"{name}={value!r:.80}: it takes a mapping, such as {{'architecture.hidden': 32}}"
        )


def refuse_below(low: int, **values: int | None) -> None:
    """Refuse what is no whole number from a lowest one on; None is the default.

    Raises:
        SpecError
    """
    for name, value in values.items():
        wrong = isinstance(value, bool) or not isinstance(value, int)
        if value is not None and (wrong or value < low):
            raise SpecError(f"{name}={value!r}: it takes a whole number from {low} on")


def refuse_no_seed(seed: int) -> None:
    """Refuse what is no seed.

    Raises:
        SpecError
    """
    if problem := complaint([seed]):
        raise SpecError(problem)
