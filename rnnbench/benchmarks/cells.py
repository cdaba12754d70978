"""Measure the training time of recurrent cells, forward and backward, over torch's own LSTM's.

Rounds alternate between all cells in one process, on one thread; a ratio is the median over
rounds of a cell's time over that of torch.nn.LSTM (GRU, RNN for theirs) in the same round. The
plain cells run by torch's kernel ("fused") and as runs of 100 steps or more do ("auto").
"""

from __future__ import annotations

import argparse
import functools
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from rnnbench.contract import Architecture, Trick
from rnnbench.nn import FastCell, GatedCell, scan
from rnnbench.registry.registry import load
from rnnbench.spec.run_spec import Trainer
from rnnbench.training.determinism import configure

SIZES = ((64, 100, 200), (20, 35, 64))  # rows, steps, units
AIMS = {SIZES[0]: 1.3, SIZES[1]: 1.5}
PLAIN_AIM = 1.05
AIMED = ("peephole lstm", "coupled lstm", "zoneout lstm", "mgu")
TIERS = ("auto", "c", "inductor", "eager")


class MGUCell(FastCell):
    """f = σ(W_f x + U_f h), h̃ = tanh(W_h x + U_h (f ⊙ h)), h_t = (1 − f) ⊙ h + f ⊙ h̃.

    Source: Zhou et al. (2016), arXiv:1603.09420.
    """

    def __init__(self, width: int):
        super().__init__()
        self.width = width
        self.input = nn.Linear(width, 2 * width)
        self.gate = nn.Linear(width, width, bias=False)
        self.candidate = nn.Linear(width, width, bias=False)

    def initial(self, x_BD: Tensor) -> tuple[Tensor, ...]:
        return (torch.zeros_like(x_BD),)

    def project(self, x_BTD: Tensor, state: tuple[Tensor, ...]) -> Tensor:
        return scan.linear(x_BTD, self.input.weight, self.input.bias)

    def step(self, x_BD: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        return self.advance(self.input(x_BD), state)

    def advance(
        self, p_BG: Tensor, state: tuple[Tensor, ...], seen_BH: Tensor | None = None
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        h_BH = state[0] if seen_BH is None else seen_BH
        p_f, p_h = p_BG.chunk(2, -1)
        f = torch.sigmoid(p_f + self.gate(h_BH))
        new = (1 - f) * state[0] + f * torch.tanh(p_h + self.candidate(f * h_BH))
        return new, (new,)


class LayerNormCell(GatedCell):
    """An LSTM with layer normalisation of its pre-activations and of its memory cell.

    Source: Ba, Kiros & Hinton (2016), arXiv:1607.06450.
    """

    def __init__(self, width: int):
        super().__init__(width, width, gates=4, states=2)
        self.norm_x, self.norm_h = nn.LayerNorm(4 * width), nn.LayerNorm(4 * width)
        self.norm_c = nn.LayerNorm(width)

    def update(
        self, gates_x: Tensor, gates_h: Tensor, state: tuple[Tensor, ...]
    ) -> tuple[Tensor, ...]:
        i, f, g, o = (self.norm_x(gates_x) + self.norm_h(gates_h)).chunk(4, -1)
        c = torch.sigmoid(f) * state[1] + torch.sigmoid(i) * torch.tanh(g)
        return torch.sigmoid(o) * torch.tanh(self.norm_c(c)), c


def options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this benchmark."""
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument(
        "--tiers", nargs="+", default=list(TIERS), choices=TIERS, help="tiers to measure"
    )
    parser.add_argument("--accelerator", default="cpu", choices=["cpu", "gpu"])


def run(arguments: argparse.Namespace) -> None:
    """Measure, and print the figures."""
    trainer = Trainer(accelerator=arguments.accelerator, deterministic=False)
    device = torch.device("cuda" if arguments.accelerator == "gpu" else "cpu")
    configure(trainer)
    for size in SIZES:
        _measure(size, arguments.tiers, arguments.rounds, device)


def _cell(
    architecture: str, trick: str | None = None, **settings: Any
) -> Callable[[int], nn.Module]:
    """Return a function that makes one layer of a plugin, which is loaded by its name."""

    def make(width: int) -> nn.Module:
        plugin: Architecture = load("architectures", architecture)(hidden=width, **settings)
        layer = plugin.build(width, causal=True).layers[0]  # type: ignore[index]
        change: Trick | None = None if trick is None else load("tricks", trick)()
        return layer if change is None else change.cell(layer)  # type: ignore[arg-type, return-value]

    return make


def _torch(kind: Callable[..., nn.Module]) -> Callable[[int], nn.Module]:
    return lambda width: kind(width, width, batch_first=True)


CELLS: dict[str, Callable[[int], nn.Module]] = {
    "peephole lstm": _cell("lstm", peepholes=True),
    "coupled lstm": _cell("lstm", coupled=True),
    "zoneout lstm": _cell("lstm", "zoneout"),
    "mgu": MGUCell,
    "variational lstm": _cell("lstm", "variational-dropout"),
    "projected lstm": _cell("lstm", projection=50),
    "gru, reset before": _cell("gru", reset="before"),
    "layer-norm lstm": LayerNormCell,
}
PLAIN = {"lstm": nn.LSTM, "gru": nn.GRU, "elman": nn.RNN}


def _measure(
    size: tuple[int, int, int], tiers: list[str], rounds: int, device: torch.device
) -> None:
    """Measure all cells at one size (rows, steps, units), and print their table."""
    rows, steps, width = size
    x = torch.randn(rows, steps, width, device=device)
    cells: dict[tuple[str, str], nn.Module] = {}
    facts: dict[tuple[str, str], tuple[str, float]] = {}
    for name, kind in PLAIN.items():
        cells[name, "torch"] = _torch(kind)(width).to(device)
        for tier in ("fused", "auto"):
            cells[name, tier] = _cell(name)(width).to(device)
    for name, make in CELLS.items():
        for tier in tiers:
            cell = make(width).to(device)
            scan.use(tier, long=True)  # type: ignore[arg-type]
            try:
                _seconds(cell, x)
            except RuntimeError as error:
                if f"scan = {tier}" not in str(error):
                    raise
                continue  # the tier cannot run this cell; the table has no such row
            cells[name, tier] = cell
            (used,) = scan.report()
            facts[name, tier] = used["tier"], used["build_seconds"]
    times: dict[tuple[str, str], list[float]] = {key: [] for key in cells}
    for _ in range(rounds):
        for (name, tier), cell in cells.items():
            chosen: Any = tier if tier in TIERS else "auto"
            scan.use(chosen, long=True, plain=tier != "fused")
            _seconds(cell, x)
            times[name, tier].append(_seconds(cell, x))
            if name in PLAIN and tier == "auto":
                facts[name, tier] = scan.report()[0]["tier"], 0.0
    _show(size, times, facts)


def _seconds(cell: nn.Module, x_BTD: Tensor) -> float:
    """Return the seconds of a pass forward and backward, with the gradient of the input."""
    x_BTD = x_BTD.clone().requires_grad_()
    cell.zero_grad()
    dy = _cotangent(x_BTD.shape[0], x_BTD.shape[1], cell, x_BTD.device)
    _wait(x_BTD.device)
    began = time.perf_counter()
    y_BTH, _ = cell(x_BTD)
    y_BTH.backward(dy)
    _wait(x_BTD.device)
    return time.perf_counter() - began


def _cotangent(rows: int, steps: int, cell: nn.Module, device: torch.device) -> Tensor:
    width = getattr(cell, "width", None) or cell.hidden_size
    return _ones(rows, steps, int(width), device)  # type: ignore[arg-type]


@functools.cache
def _ones(rows: int, steps: int, width: int, device: torch.device) -> Tensor:
    return torch.ones(rows, steps, width, device=device)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def _show(
    size: tuple[int, int, int],
    times: dict[tuple[str, str], list[float]],
    facts: dict[tuple[str, str], tuple[str, float]],
) -> None:
    rows, steps, width = size
    print(f"\nbatch {rows}, {steps} steps, {width} units; one pass forward and backward")
    print(f"{'cell':<19}{'scan':<10}{'runs in':<10}{'build s':>8}{'ms':>9}{'ratio':>8}  aim")
    for (name, tier), seconds in times.items():
        baseline = times[name if name in PLAIN else "lstm", "torch"]
        ratio = statistics.median(a / b for a, b in zip(seconds, baseline, strict=True))
        runs_in, build = facts.get((name, tier), (tier, 0.0))
        aim = AIMS[size] if name in AIMED and tier == "auto" else None
        aim = PLAIN_AIM if name in PLAIN and tier != "torch" else aim
        milliseconds = 1000 * statistics.median(seconds)
        verdict = "" if aim is None else f"{aim} {'met' if ratio <= aim else 'missed'}"
        print(
            f"{name:<19}{tier:<10}{runs_in:<10}{build:>8.2f}{milliseconds:>9.2f}"
            f"{ratio:>8.2f}  {verdict}"
        )
