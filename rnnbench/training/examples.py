"""Examples that a finished run keeps for a reader: attention maps, forecasts, a sample of text.

A handful of items of the test split, a few kilobytes, in `examples.json` beside the record. What a
task tells in words (`Task.show`) is in the record itself.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rnnbench.contract import Batch, Prediction, Task
from rnnbench.files.atomic import replace_file
from rnnbench.nn import Model
from rnnbench.nn.models.base import Continuation
from rnnbench.nn.models.decoding import Decoding, decode
from rnnbench.results.run_folder import EXAMPLES
from rnnbench.training.modes import evaluating

FORMAT = 1
ITEMS = 3  # of the test split that are drawn
TOKENS = 32  # longest side of an attention map; what is beyond is cut off
PAST, AHEAD = 96, 192  # most values of a series before and after the forecast begins
LENGTH = (60, 240)  # least and most steps of a sample


def drawings(task: Task, batch: Batch, prediction: Prediction) -> list[dict[str, Any]]:
    """Return what can be drawn of a batch's first items, as plain JSON values.

    Returns:
        {"kind": "attention", "source": labels, "output": labels, "percent": a row for each output
        step}, or {"kind": "series", "past", "truth", "forecast"}: lists of the target's first
        value, None where one is missing. Empty where nothing was decoded.
    """
    if prediction.decoded is None:
        return []
    rows = range(min(ITEMS, len(batch.x)))
    if task.target.width and prediction.decoded.dim() == 3:
        return [_draw_series(task, batch, prediction.decoded, row) for row in rows]
    if prediction.attention is not None and task.target.classes and batch.x.dim() == 2:
        return [_draw_attention(task, batch, prediction, row) for row in rows]
    return []


def _draw_series(task: Task, batch: Batch, decoded: Tensor, row: int) -> dict[str, Any]:
    """Return a row's past, true and forecast values."""
    past: list[float | None] = []
    if task.past and batch.x.dim() == 3:
        length = batch.x.shape[1] if batch.x_len is None else int(batch.x_len[row])
        past = _round_values(batch.x[row, :length, task.past[0]][-PAST:])
    truth, forecast = batch.y[row, :AHEAD, 0], decoded[row, :AHEAD, 0]
    return {
        "kind": "series", "past": past, "truth": _round_values(truth),
        "forecast": _round_values(forecast),
    }  # fmt: skip


def _round_values(y_T: Tensor) -> list[float | None]:
    """Return values to four digits, None where one is missing."""
    return [float(f"{v:.4g}") if math.isfinite(v) else None for v in y_T.tolist()]


def _draw_attention(task: Task, batch: Batch, prediction: Prediction, row: int) -> dict[str, Any]:
    """Return the attention map of a row, without what follows its end."""
    assert prediction.decoded is not None
    assert prediction.attention is not None
    x = batch.x[row].tolist()
    x = x[: len(x) if batch.x_len is None else int(batch.x_len[row])]
    y = prediction.decoded[row].tolist()
    if task.target.stop is not None and task.target.stop in y:
        y = y[: y.index(task.target.stop) + 1]
    x, y = x[:TOKENS], y[: min(TOKENS, prediction.attention.shape[1])]
    weights_ST = prediction.attention[row, : len(y), : len(x)].float()
    return {
        "kind": "attention",
        "source": _label_tokens(x, task.words("source"), task.source.stop),
        "output": _label_tokens(y, task.words("target"), task.target.stop),
        "percent": (100 * weights_ST).round().nan_to_num(0).int().tolist(),
    }


def _label_tokens(
    tokens: Sequence[int], words: Sequence[str] | None, stop: int | None
) -> list[str]:
    """Return the tokens as words, or by their number where they have none."""
    known = words or ()
    return [
        "(end)" if t == stop else (known[t] if t < len(known) else "") or f"#{t}" for t in tokens
    ]


def sample_text(task: Task, model: Model, seed: int, steps: int) -> list[dict[str, Any]]:
    """Return a text that the model makes up after the end of a line, if the task goes on from one.

    Drawn with a generator of its own, so the run's random numbers stay where they are.

    Args:
        steps: of training; a tenth as many are drawn, within limits, so that it costs about 1%.
    """
    if not (task.continues and task.source.classes and task.source.layout == "sequence"):
        return []
    try:
        batch, answer = task.ask("\n")
    except ValueError:  # of symbols that have no line's end, such as aⁿbⁿ
        return []
    device = next(model.parameters()).device
    rows = Batch(batch.x.to(device), batch.y.to(device))
    rng = torch.Generator(rows.x.device).manual_seed(seed)
    length = min(max(LENGTH[0], steps // 10), LENGTH[1])
    with evaluating(model):
        sample = decode(Continuation(model), rows, Decoding("sample"), steps=length, rng=rng)
    return [{"kind": "text", "text": answer(sample.y[0].cpu())}]


def write_examples(folder: Path, examples: Sequence[dict[str, Any]]) -> None:
    """Write them beside the record; nothing where there are none."""
    if examples:
        content = {"format": FORMAT, "examples": list(examples)}
        text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        replace_file(folder / EXAMPLES, text)
