"""E-prop: eligibility traces and a learning signal."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from rnnbench.contract import Refusal, Task, setting
from rnnbench.nn import GatedCell
from rnnbench.nn.estimators.forward_mode import DifferentiableStep, Gradients, Online, add
from rnnbench.nn.estimators.observe_cells import gated_cells, watched


@dataclass(frozen=True)
class EProp(Online):
    """Each weight keeps a trace of its own past, and errors of the present decide on its sign.

    ε_t = (∂s_t/∂s_{t-1})_local ε_{t-1} + F_θ   for the unit that the weight feeds,
    dL/dW ≈ Σ_t L_t e_t,   e_t: the part of ε_t that is ∂h_t/∂W,   L_t = ∂L_t/∂h_t.

    Local is what a unit does to itself inside the cell: the forget gate of an LSTM, the update
    gate of a GRU, nothing in an elman network. What goes by W_h from unit to unit is left out.
    L_t is what the readout of step t says of unit j: with the readout's own weights (symmetric),
    or with fixed random ones, N(0, 1) / √H, in their place. The readout and the input's embedding
    learn by what step t itself says of them. So it costs the memory of the weights for each row
    and state tensor, and nothing flows back in time.

    It is defined for one layer of a gated cell, whose weights each feed one unit.

    Null value: none.

    Source: Bellec, Scherr, Subramoney, Hajek, Salaj, Legenstein & Maass (2020), A solution to the
    learning dilemma for recurrent networks of spiking neurons, Nature Communications 11, 3625,
    eqs. 1-4 and 13-14; LSTM: its supplement.
    """

    name: ClassVar[str] = "e-prop"

    feedback: Literal["symmetric", "random"] = setting(
        "symmetric", "what carries errors back to units: the readout's weights or random ones"
    )

    def model(self, model: nn.Module, task: Task) -> nn.Module:
        model = super().model(model, task)
        cells = gated_cells(self.name, model, "since each weight is to feed one unit")
        readout = getattr(model, "readout", None)
        if len(cells) != 1 or not isinstance(readout, nn.Linear):
            raise Refusal(
                f"{self.name} is defined for one recurrent layer under a linear readout; here are "
                f"{len(cells)} layers under a {type(readout).__name__}.\n"
                "  Choose elman, lstm or gru with layers = 1."
            )
        names = {n for n, _ in cells[0].named_parameters()}
        rows = [p.shape[0] % cells[0].hidden for p in cells[0].parameters()]
        if not {"weight_x", "weight_h"} <= names or any(rows):
            raise Refusal(
                f"{self.name} needs the cell's own weights, each of which feeds one unit, and "
                "another trick has changed what they are.\n  Drop the other trick."
            )
        if self.feedback == "random":
            drawn_VH = torch.randn(readout.weight.shape) / readout.in_features**0.5
            model.register_buffer("feedback_VH", drawn_VH)
        return model

    def watching(self, model: nn.Module) -> AbstractContextManager[Any]:
        return _watched(self.name, model)

    def follow(self, step: DifferentiableStep, memory: dict[str, Any]) -> Gradients:
        gradients, _ = step.direct()
        ((cell, saw),) = ((c, s) for c, s in step.seen["cells"].items() if isinstance(c, GatedCell))
        step.seen["cells"].clear()
        exact_BH, signal_BH = self.signals(step)
        width, states = cell.hidden, cell.states
        if step.new_BS.shape[1] != states * width:
            raise Refusal(
                f"{self.name} is defined where the state is the cell's own; this model keeps more "
                "from step to step.\n  Choose elman, lstm or gru with layers = 1."
            )
        # Each weight feeds one unit, so that a sum over units picks that unit's derivative.
        ones = torch.ones_like(step.new_BS).view(-1, states, width)
        apart = torch.eye(states, dtype=ones.dtype, device=ones.device)
        picks_MBS = (apart[:, None, :, None] * ones).flatten(2)
        pulled = step.pulled_back(picks_MBS)
        own = {id(p) for p in cell.parameters()}
        own_indices = [k for k, p in enumerate(step.parameters) if id(p) in own]
        fresh = {k: pulled[k] for k in own_indices}  # (M, B, N) of each state tensor
        traces = dict(fresh)
        old: dict[int, Tensor] = memory.get("traces", {})
        if old:
            local_MMBH = local(cell, saw.p_B1G[:, 0], saw.state)
            for k, trace_MBN in old.items():
                unit_N = units(step.parameters[k], width)
                traces[k] = fresh[k] + torch.einsum(
                    "mnbw,nbw->mbw", local_MMBH[..., unit_N], trace_MBN
                )
        memory["traces"] = traces
        for k, trace_MBN in traces.items():
            unit_N = units(step.parameters[k], width)
            # The direct gradient holds exact ⊗ F_θ already, and whatever else the loss says.
            g_BN = signal_BH[:, unit_N] * trace_MBN[0] - exact_BH[:, unit_N] * fresh[k][0]
            add(gradients, k, step.parameters[k], g_BN.sum(0))
        return gradients

    def signals(self, step: DifferentiableStep) -> tuple[Tensor, Tensor]:
        """Return ∂L_t/∂h_t (B, H), and L_t, which differs from it with random feedback."""
        hidden, out = step.result.hidden, step.result.out
        exact, error = torch.autograd.grad(step.loss, [hidden, out], retain_graph=True)
        feedback_VH: Tensor | None = step.seen["feedback"]
        if feedback_VH is None:
            return exact[:, 0], exact[:, 0]
        return exact[:, 0], error[:, 0] @ feedback_VH


@contextlib.contextmanager
def _watched(name: str, model: nn.Module) -> Iterator[dict[str, Any]]:
    with watched(name, model) as seen:
        yield {"cells": seen, "feedback": getattr(model, "feedback_VH", None)}


def units(parameter: Tensor, width: int) -> Tensor:
    """Return (N,): the unit that each number of a parameter feeds; gates are stacked in rows."""
    rows = torch.arange(parameter.shape[0], device=parameter.device) % width
    return rows.repeat_interleave(parameter[0].numel())


def local(cell: GatedCell, p_BG: Tensor, state: tuple[Tensor, ...]) -> Tensor:
    """Return ∂s^m/∂s^n (M, M, B, H) of each unit, where what W_h reads is held fixed."""
    with torch.enable_grad():
        held = tuple(s.detach().requires_grad_() for s in state)
        q_BG = torch.nn.functional.linear(state[0], cell.weight_h, cell.bias_h).detach()
        after = cell.update(p_BG.detach(), q_BG, held)
        rows = []
        for new in after:
            if not new.requires_grad:
                rows.append(torch.zeros(len(held), *new.shape, dtype=new.dtype, device=new.device))
                continue
            slopes = torch.autograd.grad(
                new, held, torch.ones_like(new), retain_graph=True, allow_unused=True
            )
            rows.append(torch.stack([torch.zeros_like(new) if g is None else g for g in slopes]))
    return torch.stack(rows)
