"""Residual blocks of backbones, as modern recurrences and transformers are stacked."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rnnbench.contract import Backbone, Cell, Layout, Refusal, State
from rnnbench.nn import one_pass
from rnnbench.nn.cells.stack import Stack


class EachStep(Backbone):
    """A module that maps every step alone, as a backbone without state."""

    def __init__(self, module: nn.Module, width: int):
        super().__init__()
        self.module, self.width = module, width

    def forward(
        self, x_BTD: Tensor, state: State = None, layout: Layout | None = None
    ) -> tuple[Tensor, State]:
        return self.module(x_BTD), ()


Norm = Callable[[int], nn.Module]  # of a width


class RowNorm(nn.RMSNorm):
    """A norm x / √(mean x² + eps) of rows, with a gain a channel: torch's, in one pass."""

    def forward(self, x: Tensor) -> Tensor:
        assert self.eps is not None
        if self.weight is None or x.dim() not in (3, 4):
            return super().forward(x)
        if x.dim() == 3:
            return one_pass.rms_norm(x, self.weight, self.eps)
        y = one_pass.rms_norm(x.flatten(0, 1), self.weight, self.eps)
        return y.unflatten(0, x.shape[:2])


def rms_norm(width: int, eps: float = 1e-6) -> nn.Module:
    """Return the norm of a tower's blocks: x / √(mean x² + eps), with a gain a channel."""
    return RowNorm(width, eps=eps)


class Residual(Backbone):
    """A residual block y = x + dropout(part(norm(x)))."""

    def __init__(self, part: Backbone, dropout: float = 0.0, norm: Norm = rms_norm):
        super().__init__()
        self.norm, self.part = norm(part.width), part
        self.dropout, self.width = dropout, part.width

    def forward(
        self, x_BTD: Tensor, state: State = None, layout: Layout | None = None
    ) -> tuple[Tensor, State]:
        y_BTD, state = self.part(self.norm(x_BTD), state, layout)
        return x_BTD + F.dropout(y_BTD, self.dropout, self.training), state

    def carry(self, state: State) -> State:
        return self.part.carry(state)


class GatedMLP(nn.Module):
    """A gated map W_o (f(W_g x) ⊙ W_u x): Shazeer (2020), arXiv:2002.05202, eq. 6.

    Args:
        inner: rows of W_g and of W_u.
        bias: each of the three maps has one.
        activation: f; GELU (GEGLU) by default. Those that have a name are quicker on the CPU.
    """

    def __init__(
        self,
        width: int,
        inner: int,
        bias: bool = True,
        activation: one_pass.Bend | Callable[[Tensor], Tensor] = "gelu",
    ):
        super().__init__()
        self.into = nn.Linear(width, 2 * inner, bias=bias)
        self.out = nn.Linear(inner, width, bias=bias)
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        p = self.into(x)
        if isinstance(self.activation, str):
            return self.out(one_pass.gated_halves(self.activation, p))
        gate, up = p.chunk(2, -1)
        return self.out(self.activation(gate) * up)


class GLUMixer(Backbone):
    """A linear recurrence with GLU(GELU(cell(x))): Dauphin et al. (2017), arXiv:1612.08083."""

    def __init__(self, cell: Cell):
        super().__init__()
        self.width, self.cell = cell.width, cell
        self.glu = nn.Linear(cell.width, 2 * cell.width)

    def forward(
        self, x_BTD: Tensor, state: State = None, layout: Layout | None = None
    ) -> tuple[Tensor, State]:
        y_BTD, state = self.cell(x_BTD, state)
        p_BTG = self.glu(F.gelu(y_BTD))
        return one_pass.gated_halves("sigmoid", p_BTG, gate_first=False), state

    def carry(self, state: State) -> State:
        return self.cell.carry(state)


class ShortConvolution(Backbone):
    """A convolution y_t = Σ_{k<K} w_k ⊙ x_{t-k} + b of each channel alone.

    The state is the last K - 1 inputs.

    Args:
        steps: K.
        bias: there is a b.
        bent: the output goes through SiLU.
    """

    def __init__(self, width: int, steps: int, bias: bool = True, bent: bool = False):
        super().__init__()
        self.width, self.past, self.bent = width, steps - 1, bent
        self.convolve = nn.Conv1d(width, width, steps, groups=width, bias=bias)

    def forward(
        self, x_BTD: Tensor, state: State = None, layout: Layout | None = None
    ) -> tuple[Tensor, State]:
        if state is None:
            state = (x_BTD.new_zeros(x_BTD.shape[0], self.past, self.width),)
        weight_KD = self.convolve.weight[:, 0].flip(1).t()
        bias_D = self.convolve.bias
        if bias_D is None:
            bias_D = weight_KD.new_zeros(self.width)
        y_BTD = one_pass.short_convolution(x_BTD, state[0], weight_KD, bias_D, self.bent)
        steps = x_BTD.shape[1]
        if steps >= self.past:
            return y_BTD, (x_BTD[:, steps - self.past :],)
        return y_BTD, (torch.cat([state[0][:, steps:], x_BTD], 1),)


def tower(
    d_in: int,
    parts: Iterable[Backbone],
    dropout: float = 0.0,
    *,
    norm: Norm = rms_norm,
    always_mapped: bool = True,
) -> Stack:
    """Stack residual blocks between a linear map of the input and a last norm.

    Args:
        parts: from the bottom up, all of one width; each is normalised, run, and added.
        dropout: on each residual branch.
        norm: makes the norms from their width.
        always_mapped: the input is mapped even where it is as wide as the blocks. Where false, an
            input of their width enters as it is, as in most language models.
    """
    blocks = [Residual(part, dropout, norm) for part in parts]
    width = blocks[0].width
    enter = nn.Linear(d_in, width) if always_mapped or d_in != width else nn.Identity()
    return Stack([EachStep(enter, width), *blocks, EachStep(norm(width), width)])


def unflat(x_BTD: Tensor, heads: int) -> Tensor:
    """Return (B, T, H·K) as (B, H, T, K)."""
    return x_BTD.unflatten(-1, (heads, -1)).transpose(1, 2)


def in_chunks(
    run: Callable[..., tuple[Tensor, State]], parts: Sequence[Tensor], state: State, length: int
) -> tuple[Tensor, State]:
    """Call `run(*parts, state) -> (y, state)` on chunks of so many steps, one after the other.

    For recurrences with a matrix for a state, which are products within a chunk. They are
    computed in float32 at least.

    Args:
        parts: (B, H, T, ...) tensors.
    Returns:
        y of all steps (B, H, T, ...), and the last state.
    """
    exact = [p.to(torch.promote_types(p.dtype, torch.float32)) for p in parts]
    # Not slices, whose gradients are as long as the whole sequence, each.
    chunks = zip(*(p.split(length, 2) for p in exact), strict=True)
    outputs = []
    device = exact[0].device.type
    mixes = torch.amp.is_autocast_available(device)  # not on the meta device
    with torch.autocast(device, enabled=False) if mixes else contextlib.nullcontext():
        for chunk in chunks:
            y, state = run(*chunk, state)
            outputs.append(y)
    return torch.cat(outputs, 2).to(parts[0].dtype), state


class HeadNorm(nn.Module):
    """A norm of each head of (..., H·K) alone: mean 0 and deviation 1, with a gain a channel."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads, self.gain = heads, nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        heads = x.unflatten(-1, (self.heads, -1))
        return F.layer_norm(heads, heads.shape[-1:]).flatten(-2) * self.gain


def refuse_uneven_heads(name: str, hidden: int, heads: int, of: int = 1) -> None:
    """Refuse a width that heads can't share.

    Args:
        of: each head's width must be a multiple of it.
    Raises:
        Refusal: naming both; also where a head has one unit, which its norm would make 0.
    """
    if hidden == heads:
        raise Refusal(
            f"{name}: hidden = {hidden} and heads = {heads} leave one unit a head, whose norm is "
            "always 0.\n  Choose a larger hidden, or fewer heads."
        )
    if hidden % (heads * of):
        raise Refusal(
            f"{name}: hidden = {hidden} is no multiple of {heads * of}, which heads = {heads} "
            f"need.\n  Choose hidden as a multiple of {heads * of}, or other heads."
        )
