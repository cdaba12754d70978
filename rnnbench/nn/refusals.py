"""Refusals of settings that many architectures share."""

from __future__ import annotations

from rnnbench.contract import Refusal


def refuse_idle_dropout(name: str, layers: int, dropout: float, residual: bool = False) -> None:
    """Refuse what acts between layers where there is one layer: it would be ignored.

    Raises:
        Refusal: naming the architecture.
    """
    for what, given, none in (("dropout", dropout, 0), ("residual", residual, "false")):
        if given and layers == 1:
            shown = str(given).lower() if given is True else given
            raise Refusal(
                f"{name}: {what} = {shown} acts between layers, and there is one layer.\n"
                f"  Set architecture.layers=2 or more, or architecture.{what}={none}."
            )


def refuse_together(name: str, one: str, other: str, why: str) -> None:
    """Refuse two settings that contradict each other.

    Args:
        one, other: the settings with their values, such as "coupled = true".
    Raises:
        Refusal: naming both.
    """
    raise Refusal(f"{name}: {one} and {other}: {why}.\n  Drop one of the two.")
