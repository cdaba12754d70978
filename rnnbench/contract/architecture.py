"""Architectures, and the backbones and cells that they build."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn

from rnnbench.contract.plugin import Plugin
from rnnbench.contract.types import Layout, Moment, State
from rnnbench.errors import Refusal

if TYPE_CHECKING:
    from rnnbench.contract.task import Task


class Backbone(nn.Module):
    """Maps a sequence and a carried state to a sequence of the same length and the next state.

    Chunk law (causal backbones): running two chunks with the carried state equals running
    their concatenation. Padding stands at the end of a row, so a causal backbone may ignore
    `layout`; one that looks ahead must respect `layout.len_B`.

    Attributes:
        width: H, the width of the output.
    """

    width: int

    def forward(
        self, x_BTD: Tensor, state: State = None, layout: Layout | None = None
    ) -> tuple[Tensor, State]:
        """Return y_BTH and the state after the last step. `state=None` starts afresh."""
        raise NotImplementedError

    def attend_to(self, memory_BTE: Tensor, mask_BT: Tensor) -> State:
        """Return the state in which a decoder begins that attends by itself.

        Called once a batch on what `Architecture.decoder` returned, after the encoder has run and
        before the first `forward`.

        Args:
            memory_BTE: the encoder's outputs.
            mask_BT: True where a position is not padding.
        """
        raise NotImplementedError(f"{type(self).__name__} is no decoder that attends by itself")

    def carry(self, state: State) -> State:
        """Return the state that the next batch of a stream starts from; by default all, detached.

        Called after each batch of a task with carried state, in training and at evaluation, with
        the state that `forward` returned last; the result goes to the next batch's `forward`.
        """
        return detach(state)

    def schedule(self, at: Moment) -> None:
        """Set what changes over training; called before each training step, never at evaluation.

        It is called on every backbone of the model, before the batch is read. Keep what follows
        from it in a registered buffer: evaluation and checkpoints need it.
        """

    def constrain(self) -> None:
        """Bring parameters back within their limits; called after each update of the weights.

        It is called on every backbone of the model, without a graph, after each step of the
        optimiser, also where an estimator learns within a batch. Change parameters in place.
        """


def detach(state: State) -> State:
    """Return a nested state cut off from the graph."""
    if isinstance(state, Tensor):
        return state.detach()
    if isinstance(state, (tuple, list)):
        make: Any = getattr(state, "_make", type(state))  # of a NamedTuple
        return make(detach(s) for s in state)
    return state


class Cell(Backbone):
    """A backbone defined by one time step; `forward` scans it.

    Write `initial` and `step`, pure in their arguments and parameters, so that torch.func can
    take them apart. By convention state[0] is the hidden state. Where a NamedTuple names
    the fields, take a state up as `MyState(*state)`: checkpoints keep plain tuples. For each
    sequence `initial` is called first (unless a state is carried), then `project` once, then
    `advance` once a time step. A cell part of whose work depends on the input alone may split
    `step` into `project` (all steps at once) and `advance`; wrappers override `advance` and keep
    that speed.

    Attributes:
        apart: positions in the state of what is no unit, such as clocks, boundaries and histories:
            what mixes or drops units leaves it alone.
    """

    apart: tuple[int, ...] = ()

    def initial(self, x_BD: Tensor) -> tuple[Tensor, ...]:
        """Return the state before the first step, on the device and of the dtype of `x_BD`."""
        raise NotImplementedError

    def step(self, x_BD: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Advance one time step: return y_BH and the next state."""
        raise NotImplementedError

    def project(self, x_BTD: Tensor, state: tuple[Tensor, ...]) -> Tensor:
        """Return what can be computed for all time steps at once, (B, T, G).

        Called once, before the first `advance`. `state` is the one before the first step; only
        what stays fixed over time in it, such as a dropout mask, may be used.
        """
        return x_BTD

    def advance(
        self, p_BG: Tensor, state: tuple[Tensor, ...], seen_BH: Tensor | None = None
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Advance one time step, as `step`, on an input that went through `project`.

        Args:
            seen_BH: what the recurrent product reads in place of the hidden state state[0], such
                as a masked one; the elementwise part still uses state[0].

        Raises:
            Refusal: `seen_BH` is given and the cell has no recurrent product that core knows.
        """
        if seen_BH is not None:
            raise Refusal(
                f"{type(self).__name__} defines `step` as a whole, so a trick cannot change what "
                "its recurrent product reads.\n  Drop the trick, or write the cell as a GatedCell."
            )
        return self.step(p_BG, state)

    def forward(
        self, x_BTD: Tensor, state: State = None, layout: Layout | None = None
    ) -> tuple[Tensor, State]:
        """Run the whole sequence: `rnnbench.nn` cells override it with fused paths."""
        return self.scan(x_BTD, state)

    def scan(self, x_BTD: Tensor, state: State = None) -> tuple[Tensor, State]:
        """Run `advance` over time. Every fused path must give what this gives."""
        state = self.initial(x_BTD[:, 0]) if state is None else state
        outputs = []
        for p_BG in self.project(x_BTD, state).unbind(1):
            y_BH, state = self.advance(p_BG, state)
            outputs.append(y_BH)
        return torch.stack(outputs, 1), state


class Architecture(Plugin):
    """A way to read sequences. Write `build`; core wires it for every kind of task.

    When a model is made, core first calls `model`; where that gives None, `build` (once, or for an
    encoder and a decoder in turn), and `decoder` where a source is encoded apart.

    Class attributes:
        pool: how SEQ_TO_VEC summarises the outputs: "last", "mean", "max", "ends" (halves that
            are read in either direction, each where it ends) or "corners" (2^n parts of a grid).
        layouts: source layouts that it can read.
    """

    pool: ClassVar[str] = "last"
    layouts: ClassVar[tuple[str, ...]] = ("sequence", "grid", "tree")

    @property
    def input_width(self) -> int:
        """Return D, the width of the embeddings that the backbone reads; `hidden` by default."""
        width = getattr(self, "embedding", None) or getattr(self, "hidden", None)
        if width is None:
            raise TypeError(f"{self.name} has no field `hidden`: override `input_width`")
        return int(width)

    def build(self, d_in: int, *, causal: bool) -> Backbone:
        """Return a fresh backbone that reads vectors of width `d_in`.

        Args:
            causal: the task forbids looking ahead. An architecture that must look ahead raises
                `Refusal`; a recurrent one may ignore it.
        """
        raise NotImplementedError

    def decoder(self, d_in: int, memory_width: int) -> Backbone | None:
        """Return a causal backbone that attends to the encoder's outputs by itself, or None.

        Its state is begun by `attend_to(memory_BTE, mask_BT)`; where it has no `attend_to` of its
        own, core puts its attention on top. With None (the default) the decoder is
        `build(d_in, causal=True)` with core's attention.
        """
        return None

    def start_embedding(self, table_VD: nn.Parameter) -> None:
        """Give a table of tokens its first values, in place; by default it keeps torch's, N(0, 1).

        Called once on every table that a new model reads the task's tokens by, at the very end.
        Write it where the code of the architecture's authors starts such tables otherwise.
        """

    def model(self, task: Task) -> nn.Module | None:
        """Return a whole `rnnbench.nn.Model`, or None (the default) to be wired by core."""
        return None
