"""Names the ways in which a board may treat its seeds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from rnnbench.errors import SpecError
from rnnbench.stats import Method


@dataclass(frozen=True)
class BoardMethod:
    """The centre, interval and test by which a board treats its seeds.

    Attributes:
        centre: what stands for a row, and orders rows.
        interval: of a row alone, see `rnnbench.stats.Method`.
        test: "moderated": all rows at once, with a spread learnt from all of them
            (`rnnbench.stats.judge_rows`); "t" and "permutation": by pairs, Holm-adjusted.

    Raises:
        SpecError: a median is asked for with an interval or a test that is about means.
    """

    centre: Literal["mean", "median"] = "mean"
    interval: Literal["t", "bootstrap"] = "t"
    test: Literal["moderated", "t", "permutation"] = "moderated"

    def __post_init__(self) -> None:
        if self.centre == "median" and (self.interval == "t" or self.test != "permutation"):
            raise SpecError(
                "Student's t and the comparison of all rows at once are about means: a median "
                "takes a bootstrap interval and a permutation test (--interval bootstrap --test "
                "permutation)"
            )

    @property
    def of_samples(self) -> Method:
        """The method by which a sample alone, or two of them, are treated."""
        return Method(self.centre, self.interval, "t" if self.test == "moderated" else self.test)


STANDARD = BoardMethod()
