"""The values that tasks, models and tricks hand to each other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from rnnbench.contract.names import Kind as Kind
from rnnbench.moved import renamed

State = Any  # a (nested) tuple of tensors whose first dimension is the batch


class Distribution:
    """A distribution of real values, given what a model puts out for them. P counts parameters.

    A model puts out P numbers for each of V values, as P blocks of V: (..., P * V). The first
    block is where the values are expected, so that what is added to it moves them. Subclasses are
    frozen dataclasses; `rnnbench.nn.distributions` has some.

    Attributes:
        parameters: P.
    """

    parameters: int

    def point(self, out: Tensor) -> Tensor:
        """Return (..., V), the value that stands for the distribution; a decoder reads it next."""
        raise NotImplementedError

    def nll(self, out: Tensor, y: Tensor) -> Tensor:
        """Return (..., V): what is minimised for each value of y (..., V), such as nats."""
        raise NotImplementedError

    def around(self, y: Tensor) -> Tensor:
        """Return (..., P * V), an output whose point is y."""
        raise NotImplementedError


@dataclass(frozen=True)
class Port:
    """A description of what flows through one end of a task.

    Attributes:
        classes: number of token classes; 0 where values flow.
        width: number of real values a step; 0 where tokens flow.
        layout: "sequence", "grid", "tree", "vector", or "positions" (of the source).
        start: token that a decoder reads before its first output (None: 0 or zeros).
        stop: token that ends a decoded sequence (None: the target's length is fixed).
        longest: of a target the most steps that a decoder produces (None: as many as `Batch.y`
            has); of a source the most steps that it has, where that is known.
        vocabulary: names the classes; two ports of one task with the same name speak of the same
            tokens, so that one can be copied to the other ("": they have nothing in common).
        distribution: of a target's values; None: a model puts out the values themselves, and the
            loss is the squared error.
        distinct: of a target of positions: each of the source's is named once, then the end;
            decoding offers nothing else.

    A port with the layout "positions" has a class for each position of the source, counted from
    1, and 0 for the end: start and stop are 0 there.
    """

    classes: int = 0
    width: int = 0
    layout: str = "sequence"
    start: int | None = None
    stop: int | None = None
    longest: int | None = None
    vocabulary: str = ""
    distinct: bool = False
    distribution: Distribution | None = None

    def __post_init__(self) -> None:
        if (self.classes > 0) == (self.width > 0):
            raise ValueError(f"a Port carries tokens or values: set classes or width, got {self}")
        if self.distinct and (self.layout != "positions" or self.stop != 0):
            raise ValueError(f"distinct is said of positions that end with 0, got {self}")
        if self.distribution is not None and not self.width:
            raise ValueError(f"a distribution is of values; {self.classes} classes have their own")

    @property
    def outputs(self) -> int:
        """Return how many numbers a model puts out for each step of a target."""
        return self.classes or self.width * (self.distribution or _POINT).parameters

    def choose(self, out: Tensor) -> Tensor:
        """Return what an output (..., `outputs`) says: the most probable classes (...), or values
        (..., V)."""
        return out.argmax(-1) if self.classes else (self.distribution or _POINT).point(out)


class _Point(Distribution):
    """The distribution of a model that puts out the values themselves."""

    parameters = 1

    def point(self, out: Tensor) -> Tensor:
        return out


_POINT = _Point()


class Layout(NamedTuple):
    """The shape of a flattened input sequence; None where a field does not apply.

    Attributes:
        len_B: true length of each row; positions from there on are padding.
        grid: extents of an n-dimensional grid whose row-major order the sequence is.
        parent_BT: index of each node's parent in the sequence, -1 at the root and on padding.
            Children stand before their parents, so a row's root is its last valid position.
    """

    len_B: Tensor | None = None
    grid: tuple[int, ...] | None = None
    parent_BT: Tensor | None = None


class Batch(NamedTuple):
    """A batch that a task hands to the model. A NamedTuple, so that Lightning moves it as it is.

    Attributes:
        x: (B, T) tokens or (B, T, D) values; (B, D) values for VEC_TO_SEQ.
        y: target. SEQ_TO_VEC: (B,) classes or (B, V) values; else (B, S) tokens or
            (B, S, V) values. A NaN value is a missing target and is left out of the loss.
        x_len, y_len: (B,) true lengths, None where every row is full.
        grid, parent_BT: see `Layout`.
        item_B: (B,) what the task's own meter knows a row by; no model reads it.
    """

    x: Tensor
    y: Tensor
    x_len: Tensor | None = None
    y_len: Tensor | None = None
    grid: tuple[int, ...] | None = None
    parent_BT: Tensor | None = None
    item_B: Tensor | None = None

    @property
    def layout(self) -> Layout:
        return Layout(self.x_len, self.grid, self.parent_BT)

    def to(self, device: torch.device | str, non_blocking: bool = False) -> Batch:
        """Return this batch with every tensor on `device`."""
        moved: dict[str, Any] = {
            name: value.to(device, non_blocking=non_blocking)
            for name, value in self._asdict().items()
            if isinstance(value, Tensor)
        }
        return self._replace(**moved)


class Moment(NamedTuple):
    """A moment of training: the optimiser step, and the part of the budget spent."""

    step: int  # optimiser steps done so far
    progress: float  # 0 at the start of the budget, 1 at its end


class Result(NamedTuple):
    """A model's answer to a batch under teacher forcing (or as fed by a trick)."""

    out: Tensor  # (B, S, V) logits, values or a distribution's; (B, V) for SEQ_TO_VEC
    hidden: Tensor  # (B, S, H): what the readout read
    state: State  # carried to the next batch where the data are carried
    penalty: Tensor | None = None  # scalar, minimised with the loss and not reported as loss


class Prediction(NamedTuple):
    """All that a meter sees of a batch at evaluation."""

    nll: Tensor  # per target element, 0 where masked: nats of classes and distributions, or
    # squared error
    mask: Tensor  # same shape, True where a target is counted
    out: Tensor  # as Result.out
    decoded: Tensor | None = None  # (B, S') tokens or (B, S, V) values produced without seeing y
    attention: Tensor | None = None  # (B, S', T): what each decoded step looked at
    decoded_out: Tensor | None = None  # (B, S, P * V): the outputs that `decoded` stands for, where
    # the target has a distribution


def __getattr__(name: str) -> Any:
    return renamed(__name__, name)
