"""Backbones that read a whole input at once, so that no state passes from batch to batch."""

from __future__ import annotations

from typing import NoReturn

import torch
from torch import Tensor

from rnnbench.contract import Backbone, Refusal, State


class WholeInputBackbone(Backbone):
    """A backbone that reads all of its input before it can say anything of some of it.

    Its state is None. `forward` of a subclass calls `refuse_state` first.

    Args:
        owner: the architecture, for messages.
    """

    def __init__(self, owner: str):
        super().__init__()
        self.owner = owner

    def refuse_state(self, state: State) -> None:
        """Refuse to go on from a state.

        Raises:
            Refusal: there is one.
        """
        if state is not None:
            raise Refusal(
                f"{self.owner} reads a whole input at once and goes on from no state.\n"
                "  Choose a recurrent architecture that reads left to right, such as lstm."
            )

    def carry(self, state: State) -> State:
        """Refuse: a stream's next batch would be read as if nothing had gone before.

        Raises:
            Refusal: always.
        """
        raise Refusal(
            f"{self.owner} reads a whole input at once, and this task's batches continue each "
            "other.\n  Choose a task whose items stand alone, or an architecture that reads left "
            "to right, such as lstm."
        )


def ends(y_BTH: Tensor, len_B: Tensor | None) -> Tensor:
    """Return each direction's last output (B, H), where halves of H are read in both directions.

    The first half is read forwards and ends at a row's last valid step, the second is read
    backwards and ends at step 0.
    """
    forwards_BTK, backwards_BTK = y_BTH.chunk(2, -1)
    if len_B is None:
        last_BK = forwards_BTK[:, -1]
    else:
        at_B1K = (len_B - 1)[:, None, None].expand(-1, 1, forwards_BTK.shape[-1])
        last_BK = forwards_BTK.gather(1, at_B1K)[:, 0]
    return torch.cat([last_BK, backwards_BTK[:, 0]], -1)


def refuse_looking_ahead(name: str, instead: str) -> NoReturn:
    """Refuse a task that forbids looking ahead.

    Args:
        name: the architecture.
        instead: what to do, without a full stop.

    Raises:
        Refusal: always.
    """
    raise Refusal(
        f"{name} looks ahead, and here what comes later is not to be seen (a causal task) or not "
        f"there yet (a decoder).\n  {instead}, or choose a task that allows looking ahead."
    )
