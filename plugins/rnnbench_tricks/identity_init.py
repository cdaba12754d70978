"""Recurrent matrices that start as the identity."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from rnnbench.contract import Cell, Refusal, Task, Trick, setting
from rnnbench.nn.cells.gate_names import (
    Gate,
    claim,
    gates,
    innermost_cells,
    recurrent_blocks,
    set_bias,
)


@dataclass(frozen=True)
class IdentityInit(Trick):
    """The candidate's recurrent matrix starts as a multiple of the identity, its bias as 0.

    W_h = scale · I, so that an Elman network with relu keeps its hidden state at first (the
    IRNN). In a cell with gates it is the matrix of the candidate; those of the gates stay. A cell
    that reads several delays gets it for the shortest, and 0 for the others.

    Source: Le, Jaitly & Hinton (2015), arXiv:1504.00941, section 3.
    """

    scale: float = setting(
        1.0, "of the identity; below 1 the network forgets", low=0.0, search=(0.01, 1.0, "log")
    )

    def model(self, model: nn.Module, task: Task) -> nn.Module:
        for cell in innermost_cells(model, self.name):
            gate = self.candidate(cell)
            first, *others = recurrent_blocks(gate, self.name)
            if first.shape[0] != first.shape[1]:
                raise Refusal(
                    f"identity-init: the recurrent matrix of {type(cell).__name__} is "
                    f"{first.shape[0]} × {first.shape[1]}, and the identity is square.\n"
                    "  Drop the projection, or identity-init."
                )
            claim(cell, "the recurrent matrix", self.name)
            nn.init.eye_(first).mul_(self.scale)
            for other in others:
                other.zero_()
            set_bias(gate, 0.0, self.name)
        return model

    def candidate(self, cell: Cell) -> Gate:
        cell_gates = gates(cell, self.name)
        named = [g for g in cell_gates if g.name == "candidate"]
        if not named and len(cell_gates) > 1:
            raise Refusal(
                f"identity-init acts on the candidate's matrix; {type(cell).__name__} does not "
                "name its gates (`gate_names`).\n  Drop identity-init, or choose another cell, "
                "such as elman, lstm or gru."
            )
        return (named or cell_gates)[0]
