"""Draws what a session asks for with matplotlib; figures are returned, and shown by notebooks."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

from matplotlib.figure import Figure

from rnnbench.errors import RunError
from rnnbench.registry.registry import did_you_mean

if TYPE_CHECKING:
    from rnnbench.results.record import Record


class ShownFigure(Figure):
    """A figure of matplotlib that notebooks show, whether or not pyplot was imported."""

    def _repr_png_(self) -> bytes:
        out = io.BytesIO()
        self.savefig(out, format="png")
        return out.getvalue()


def plot_curves(records: Sequence[Record], metric: str | None = None) -> ShownFigure:
    """Draw the validations of runs over the steps of training, and the baselines of the first.

    Raises:
        RunError: a run has no validation with this figure.
    """
    metric = metric or records[0].selection.get("metric", "loss")
    figure = ShownFigure(figsize=(7, 4), layout="constrained")
    axis = figure.subplots()
    for record in records:
        points = [(step, f[metric]) for step, _, f in record.curve if f.get(metric) is not None]
        if not points:
            known = sorted({name for _, _, figures in record.curve for name in figures})
            raise RunError(
                f"{record.run_id} has no {metric!r} at its validations"
                f"{did_you_mean(metric, known)}\n  It has: {', '.join(known) or 'none'}"
            )
        steps, values = zip(*points, strict=True)
        axis.plot(steps, values, marker=".", label=record.run_id)
    for name, values_of in records[0].baselines.get("valid", {}).items():
        value = values_of.get(metric)
        if value is not None:
            axis.axhline(value, color="grey", linewidth=0.8, linestyle="--")
            axis.annotate(name, (1, value), xycoords=("axes fraction", "data"),
                          ha="right", va="bottom", color="grey", fontsize=8)  # fmt: skip
    units = {m["name"]: m["unit"] for m in records[0].metric_info}
    axis.set_xlabel("step")
    axis.set_ylabel(f"{metric} {units.get(metric, '')}".strip() + " on validation")
    axis.grid(alpha=0.3)
    axis.legend(fontsize=8)
    return figure
