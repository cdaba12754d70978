"""Answers to several inputs of a user at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor

from rnnbench.contract.types import Batch


class Answers(NamedTuple):
    """Several inputs of a user at once, and how the answers to them are put in words.

    Attributes:
        batch: a row for each input; its y has the shape of a target and no meaning.
        read: from what is predicted (B, S, V), and of distributions what the model put out
            (B, S, P * V), else None, to one text.
        notes: what the user must know of the answers.
    """

    batch: Batch
    read: Callable[[Tensor, Tensor | None], str]
    notes: tuple[str, ...] = ()
