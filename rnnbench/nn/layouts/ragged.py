"""Rows of unequal length: reversing each by its own, and the state where each ends."""

from __future__ import annotations

import torch
from torch import Tensor

from rnnbench.contract import Backbone, State
from rnnbench.nn.models.decoding import select_rows


def reversed_rows(x_BTD: Tensor, len_B: Tensor | None) -> Tensor:
    """Return each row's first `len_B` steps in reverse order, and its padding after them.

    Args:
        x_BTD: (B, T) or (B, T, D).
    """
    if len_B is None:
        return x_BTD.flip(1)
    at_T = torch.arange(x_BTD.shape[1], device=x_BTD.device)
    from_BT = torch.where(at_T < len_B[:, None], len_B[:, None] - 1 - at_T, at_T)
    index = from_BT if x_BTD.dim() == 2 else from_BT[..., None].expand_as(x_BTD)
    return x_BTD.gather(1, index)


def run_rows(backbone: Backbone, x_BTD: Tensor, len_B: Tensor | None) -> tuple[Tensor, State]:
    """Run a causal backbone; the state is each row's after its own last step, not after padding.

    Rows are run together from one length that occurs to the next, and a row whose end is reached
    is left out from there on: by the chunk law that is one pass over each. So there are as many
    calls as different lengths.

    Returns:
        y_BTH, 0 at padding, and the state.
    """
    # Shapes do not depend on the lengths, which is all that a meta tensor can be asked for.
    if len_B is None or len_B.is_meta:
        return backbone(x_BTD)
    ends = sorted(set(len_B.tolist()))
    alive_N = torch.arange(len(x_BTD), device=x_BTD.device)
    state, begin, outputs, finals, order = None, 0, [], [], []
    for end in ends:
        if begin:
            keep_N = len_B[alive_N] > begin
            state = select_rows(state, keep_N.nonzero()[:, 0])
            alive_N = alive_N[keep_N]
        y_NTH, state = backbone(x_BTD[alive_N, begin:end], state)
        whole = y_NTH.new_zeros(len(x_BTD), end - begin, y_NTH.shape[-1])
        outputs.append(whole.index_copy(0, alive_N, y_NTH))
        done_N = (len_B[alive_N] == end).nonzero()[:, 0]
        finals.append(select_rows(state, done_N))
        order.append(alive_N[done_N])
        begin = end
    if begin < x_BTD.shape[1]:
        last = outputs[-1]
        outputs.append(last.new_zeros(len(x_BTD), x_BTD.shape[1] - begin, last.shape[-1]))
    back_B = torch.cat(order).argsort()
    return torch.cat(outputs, 1), select_rows(joined(finals), back_B)


def joined(states: list[State]) -> State:
    """Join nested states of some rows each to one state of all of them."""
    first = states[0]
    if isinstance(first, Tensor):
        return torch.cat(states)
    if isinstance(first, (tuple, list)):
        return type(first)(joined(list(parts)) for parts in zip(*states, strict=True))
    return first
