"""Measure time and memory of recurrences that need no loop over steps, as sequences grow.

First table: one pass forward and backward of each architecture at lengths four times apart, in
rounds that alternate between them. `growth` is the exponent k of T^k between the shortest and the
longest; 1 is linear, and below 1 is overhead that long sequences share out. Memory is the most that
the process held over what it held before (Linux only). Time is CPU time on one thread, which other
work on the machine disturbs least.
Last line: mingru against torch's own GRU, one layer of 128 units, batch 8, in the same way.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import math
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from rnnbench.contract import Architecture
from rnnbench.registry.registry import load
from rnnbench.spec.run_spec import Trainer
from rnnbench.training.determinism import configure

ARCHITECTURES = (
    "mingru", "minlstm", "sru:peephole=false", "qrnn", "lru:units=16", "s4d:units=8", "mamba",
    "hawk", "retnet", "deltanet", "xlstm:blocks=mlstm",
)  # fmt: skip
LENGTHS = (1_000, 4_000, 16_000, 64_000)
ROWS, UNITS = 8, 128  # of the comparison with torch's GRU
STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
Layer = Callable[[Tensor], tuple[Tensor, object]]


def options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this benchmark."""
    parser.add_argument("--architectures", nargs="*", default=list(ARCHITECTURES))
    parser.add_argument("--lengths", nargs="+", type=int, default=list(LENGTHS))
    parser.add_argument("--hidden", type=int, default=16, help="width of each architecture")
    parser.add_argument("--rows", type=int, default=1, help="rows of the batch")
    parser.add_argument("--rounds", type=int, default=3, help="5 times as many beside nn.GRU")
    parser.add_argument("--steps", type=int, default=1_024, help="of the comparison with nn.GRU")


def run(arguments: argparse.Namespace) -> None:
    """Measure, and print the figures."""
    configure(Trainer(accelerator="cpu", deterministic=False))
    torch.set_num_threads(1)
    lengths = sorted(arguments.lengths)
    if arguments.architectures:
        _heading(arguments, lengths)
    for text in arguments.architectures:
        layer = _layer(text, arguments.hidden)
        inputs = [torch.randn(arguments.rows, steps, arguments.hidden) for steps in lengths]
        seconds(layer, inputs[0])  # what only the first pass of all allocates
        memory = [_megabytes(layer, x) for x in inputs]
        times = _alternating([(layer, x) for x in inputs], arguments.rounds)
        _show(text, lengths, [statistics.median(t) for t in times], memory)
    _against_gru(arguments.steps, 5 * arguments.rounds)


def seconds(layer: Layer, x_BTD: Tensor) -> float:
    """Return the CPU seconds of a pass forward and backward, with the gradient of the input."""
    x_BTD = x_BTD.clone().requires_grad_()
    began = time.process_time()
    y_BTH, _ = layer(x_BTD)
    y_BTH.sum().backward()
    return time.process_time() - began


def growth(small: float, large: float, lengths: Sequence[int]) -> float:
    """Return k, where a figure grows like T^k from the first length to the last."""
    return math.log(large / small) / math.log(lengths[-1] / lengths[0])


def _alternating(pairs: Sequence[tuple[Layer, Tensor]], rounds: int) -> list[list[float]]:
    """Return the seconds of each pair in each round; a first round, not counted, warms up."""
    times_of_pairs: list[list[float]] = [[] for _ in pairs]
    for i in range(rounds + 1):
        for times, (layer, x) in zip(times_of_pairs, pairs, strict=True):
            pass_seconds = seconds(layer, x)
            if i:
                times.append(pass_seconds)
    return times_of_pairs


def _layer(text: str, hidden: int) -> nn.Module:
    """Return the architecture that a text such as "sru:peephole=false" names."""
    from rnnbench.spec.plugin_text import named

    spec, set_fields = named("architectures", text)
    cls: type[Architecture] = load("architectures", spec.name)
    settings = {k: v for k, v in spec.settings if k in set_fields}
    return cls(**settings, hidden=hidden).build(hidden, causal=True)  # type: ignore[call-arg]


def _megabytes(layer: Layer, x_BTD: Tensor) -> float:
    """Return the most memory that a pass adds to what is held; NaN where it is unknown."""
    if not CLEAR.exists():
        return math.nan
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    CLEAR.write_text("5")  # the highest mark starts anew
    before = _status("VmRSS")
    seconds(layer, x_BTD)
    return (_status("VmHWM") - before) / 1024


def _status(key: str) -> int:
    """Return a figure of this process's memory in kilobytes."""
    (line,) = [s for s in STATUS.read_text().splitlines() if s.startswith(key + ":")]
    return int(line.split()[1])


def _heading(arguments: argparse.Namespace, lengths: Sequence[int]) -> None:
    print(f"batch {arguments.rows}, hidden {arguments.hidden}; one pass forward and backward")
    columns = "".join(f"{'T=' + format(steps, ','):>12}" for steps in lengths)
    print(f"{'architecture':<22}{'of':<8}{columns}{'growth':>8}")


def _show(
    text: str, lengths: Sequence[int], times: Sequence[float], memory: Sequence[float]
) -> None:
    for name, unit, values in (("time", "ms", [1000 * t for t in times]), ("memory", "MB", memory)):
        cells = "".join(f"{value:>9.1f} {unit}" for value in values)
        exponent = growth(values[0], values[-1], lengths)
        print(f"{text:<22}{name:<8}{cells}{exponent:>8.2f}", flush=True)


def _against_gru(steps: int, rounds: int) -> None:
    mingru = load("architectures", "mingru")(hidden=UNITS, layers=1).build(UNITS, causal=True)
    gru = nn.GRU(UNITS, UNITS, batch_first=True)
    x_BTD = torch.randn(ROWS, steps, UNITS)
    ours, theirs = _alternating([(mingru, x_BTD), (gru, x_BTD)], rounds)
    ratio = statistics.median(a / b for a, b in zip(ours, theirs, strict=True))
    print(
        f"\nbatch {ROWS}, {steps:,} steps, {UNITS} units, {rounds} alternating rounds: mingru "
        f"{1000 * statistics.median(ours):.1f} ms, nn.GRU {1000 * statistics.median(theirs):.1f} "
        f"ms, ratio {ratio:.2f} ({'met' if ratio < 1 else 'missed'}: below 1)"
    )
