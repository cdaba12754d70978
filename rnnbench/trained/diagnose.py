"""Measures how gradients and perturbations travel through the time steps of a trained model.

Suffixes besides the contract's: N flattened units of a cell's state, R probes.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rnnbench.contract import Backbone, Batch, Cell, Kind, State, Task
from rnnbench.nn import CellWrapper, GatedCell, Model
from rnnbench.nn.cells.gate_wrappers import GateWrapper
from rnnbench.nn.models.base import IGNORED
from rnnbench.trained.load import Trained
from rnnbench.training.determinism import seed_torch
from rnnbench.training.train_step import map_cells

PROBES = 8  # random directions in which a Jacobian's norm is estimated
LOST = 0.01  # a perturbation with this share of its first length counts as lost
LARGEST = 1024  # units of a state whose Jacobian is still made whole


class Recording(CellWrapper):
    """A cell that keeps every state on the way, with its gradient."""

    def __init__(self, inner: Cell):
        super().__init__(inner)
        # Input and state at each step, in stretches of steps with equally many rows.
        self.stretches: list[list[tuple[Tensor, tuple[Tensor, ...]]]] = []

    def advance(
        self, p_BG: Tensor, state: tuple[Tensor, ...], seen_BH: Tensor | None = None
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        y_BH, state = self.inner.advance(p_BG, state, seen_BH)
        if not self.stretches or len(self.stretches[-1][0][0]) != len(p_BG):
            self.stretches.append([])
        self.stretches[-1].append((p_BG, state))
        return y_BH, state

    @property
    def inputs(self) -> list[Tensor]:
        return [p_BG for p_BG, _ in max(self.stretches, key=len, default=[])]

    @property
    def states(self) -> list[tuple[Tensor, ...]]:
        return [state for _, state in max(self.stretches, key=len, default=[])]

    def forward(self, x_BTD: Tensor, state: State = None, layout: Any = None) -> Any:
        return self.scan(x_BTD, state)  # never a fused kernel, which keeps nothing


def diagnose(trained: Trained, rows: int = 16, steps: int = 200, seed: int = 0) -> dict[str, Any]:
    """Return figures of a model on the first validation batch.

    Args:
        rows, steps: at most so many of it.
        seed: of probes and perturbations.

    Returns:
        {"steps", "loss", "layers": {name: {...}}}. Of each layer, means over rows:
        "gradient": ‖∂L/∂h_t‖ for each t, L the loss of the last target (of the whole output
        where a decoder follows); "gain": ‖∂h_T/∂h_t‖_F / √H, estimated with random directions;
        "singular_values": of the step's Jacobian ∂s_{t+1}/∂s_t at a few t, largest first;
        "gates": name -> mean and the shares below 0.1 and above 0.9; "horizon": steps until 1% of
        a small perturbation of h is left, None where it outlasts the sequence.
        A backbone without a cell has "gradient" only.

    Source: Bengio, Simard & Frasconi (1994), doi:10.1109/72.279181; Pascanu, Mikolov & Bengio
    (2013), arXiv:1211.5063, section 2.
    """
    # In double precision: what has vanished is still told from what is not connected at all.
    model = copy.deepcopy(trained.model).double().eval()
    for p in model.parameters():
        p.requires_grad_(True)
    map_cells(model, Recording)
    cells = {name: m for name, m in model.named_modules() if isinstance(m, Recording)}
    outputs: dict[str, Tensor] = {}
    if not cells:
        for name, part in model.named_children():
            if isinstance(part, Backbone):
                part.register_forward_hook(partial(_keep, outputs, name))
    batch = _first_batch(trained.task, rows, steps)
    result = model(batch)
    loss = _last_loss(model, trained.task, result.out, batch)
    seed_torch(seed)
    layers = {name: _diagnose_cell(cell, loss) for name, cell in cells.items() if cell.states}
    for name, y_BTH in outputs.items():
        (g_BTH,) = torch.autograd.grad(loss, y_BTH, retain_graph=True)
        layers[name] = {"gradient": g_BTH.norm(dim=-1).mean(0).tolist()}
    return {"steps": batch.x.shape[1], "loss": float(loss.detach()), "layers": layers}


def _keep(outputs: dict[str, Tensor], name: str, _: Any, __: Any, out: Any) -> None:
    outputs[name] = out[0]


def _first_batch(task: Task, rows: int, steps: int) -> Batch:
    """Return the beginning of the validation split's first batch.

    Where rows are of unequal length, those of the commonest, which are stepped together.
    """
    data = task.data("valid", 0)
    batch = data.batch(data.order(rows, None)[0], None)
    if batch.x_len is not None and batch.grid is None and batch.parent_BT is None:
        length = int(batch.x_len.mode().values)
        keep = batch.x_len == length
        picked = (v[keep] if isinstance(v, Tensor) else v for v in batch)
        batch = Batch._make(picked)._replace(x_len=None)
        batch = batch._replace(x=batch.x[:, :length])
        if task.kind is Kind.ALIGNED:
            batch = batch._replace(y=batch.y[:, :length], y_len=None)
    if task.kind is Kind.ALIGNED and batch.x_len is None:
        batch = batch._replace(x=batch.x[:, :steps], y=batch.y[:, :steps])
    x, y = (v.double() if v.is_floating_point() else v for v in batch[:2])
    return batch._replace(x=x, y=y)


def _last_loss(model: Model, task: Task, out: Tensor, batch: Batch) -> Tensor:
    """Return the loss of each row's last target, or of the whole output after a decoder."""
    if task.kind is not Kind.ALIGNED:
        return model.loss(out, batch)
    y = model.gold(batch).clone()
    keep = torch.zeros_like(y, dtype=torch.bool)
    last = torch.full((len(y),), y.shape[1] - 1) if batch.y_len is None else batch.y_len - 1
    keep[torch.arange(len(y)), last] = True
    y = y.masked_fill(~keep, IGNORED if model.target.classes else math.nan)
    return model.loss(out, batch._replace(y=y, y_len=None))


def _diagnose_cell(cell: Recording, loss: Tensor) -> dict[str, Any]:
    """Return a layer's figures, see `diagnose`."""
    hiddens = [state[0] for state in cell.states]
    gradients = torch.autograd.grad(loss, hiddens, retain_graph=True, allow_unused=True)
    norms = [0.0 if g is None else float(g.flatten(1).norm(dim=-1).mean()) for g in gradients]
    return {
        "gradient": norms,
        "gain": _measure_gains(hiddens),
        "singular_values": _measure_spectra(cell),
        "gates": _measure_gates(cell),
        "horizon": _measure_horizon(cell),
    }


def _measure_gains(hiddens: Sequence[Tensor]) -> list[float]:
    """Return ‖∂h_T/∂h_t‖_F / √H for each t.

    E ‖vᵀ J‖² over directions v of unit variance is ‖J‖_F².
    """
    last = hiddens[-1]
    total = torch.zeros(len(hiddens), dtype=torch.float64)
    for _ in range(PROBES):
        v = torch.randn_like(last)
        products = torch.autograd.grad(last, hiddens, v, retain_graph=True, allow_unused=True)
        squares = [
            0.0 if g is None else float(g.square().flatten(1).sum(1).mean()) for g in products
        ]
        total += torch.tensor(squares, dtype=torch.float64)
    return (total / PROBES / last[0].numel()).sqrt().tolist()


def _flatten(state: Sequence[Tensor]) -> Tensor:
    """Return (N,), the floating units of one row's state."""
    return torch.cat([s.flatten() for s in state if s.is_floating_point()])


def _measure_spectra(cell: Recording) -> dict[str, list[float]]:
    """Return singular values of ∂s_{t+1}/∂s_t of the first row, in the middle and near the ends."""
    count = len(cell.states)
    spectra = {}
    for t in sorted({0, count // 2, count - 2} if count > 2 else set()):
        state = tuple(s[:1].detach() for s in cell.states[t])
        p_BG = cell.inputs[t + 1][:1].detach()
        if len(_flatten(state)) > LARGEST:
            continue

        def after(flat_N: Tensor, state: Any = state, p_BG: Tensor = p_BG) -> Tensor:
            parts, at = [], 0
            for s in state:
                if s.is_floating_point():
                    parts.append(flat_N[at : at + s.numel()].view_as(s))
                    at += s.numel()
                else:
                    parts.append(s)
            return _flatten(cell.inner.advance(p_BG, tuple(parts))[1])

        jacobian = torch.autograd.functional.jacobian(after, _flatten(state))
        assert isinstance(jacobian, Tensor)
        spectra[str(t)] = torch.linalg.svdvals(jacobian).tolist()
    return spectra


@torch.no_grad()
def _measure_gates(cell: Recording) -> dict[str, dict[str, float]]:
    """Return how open the gates of a gated cell are, over all steps and rows."""
    inner: nn.Module = cell.inner
    while isinstance(inner, CellWrapper):
        if isinstance(inner, GateWrapper):
            return {}  # it changes what the gates see, such as by normalising it
        inner = inner.inner
    names: tuple[str, ...] = getattr(inner, "gate_names", ())
    if not isinstance(inner, GatedCell) or not names or len(cell.states) < 2:
        return {}
    if getattr(inner, "peepholes", False):
        return {}  # its gates see more than the products that are at hand here
    if cell.inputs[0].shape[-1] != len(inner.weight_h):
        return {}  # which of the input's products are of a gate, its names do not say
    pre = [
        p + F.linear(state[0], inner.weight_h, inner.bias_h)
        for p, state in zip(cell.inputs[1:], cell.states[:-1], strict=True)
    ]
    parts = torch.stack(pre).chunk(len(names), -1)
    exponential: tuple[str, ...] = getattr(inner, "exponential", ())
    figures = {}
    for name, part in zip(names, parts, strict=True):
        if name != "candidate" and name not in exponential:
            # The others are σ of their rows: see nn.cells.gate_names.
            gate = torch.sigmoid(part)
            figures[name] = {
                "mean": float(gate.mean()),
                "closed": float((gate < 0.1).float().mean()),
                "open": float((gate > 0.9).float().mean()),
            }
    return figures


@torch.no_grad()
def _measure_horizon(cell: Recording) -> int | None:
    """Return the steps until a perturbation of h, a thousandth of its length, shrank to 1%."""
    begin = len(cell.states) // 4
    state = tuple(s.detach() for s in cell.states[begin])
    noise = torch.randn_like(state[0])
    scale_B = 1e-3 * state[0].flatten(1).norm(dim=-1) / noise.flatten(1).norm(dim=-1)
    scale = scale_B.view(-1, *[1] * (noise.dim() - 1))
    other = (state[0] + scale * noise, *state[1:])
    initial_norm = (other[0] - state[0]).flatten(1).norm(dim=-1)
    for steps, p_BG in enumerate(cell.inputs[begin + 1 :], start=1):
        p_BG = p_BG.detach()
        _, state = cell.inner.advance(p_BG, state)
        _, other = cell.inner.advance(p_BG, other)
        norm = torch.stack([
            (a - b).flatten(1).norm(dim=-1)
            for a, b in zip(state, other, strict=True)
            if a.is_floating_point()
        ]).norm(dim=0)  # fmt: skip
        if float((norm / initial_norm.clamp(min=1e-30)).median()) < LOST:
            return steps
    return None
