"""Shows a diagnosis of gradients: as a table, and as a picture."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

from matplotlib import rc_context

from rnnbench.session.listing import Listing
from rnnbench.session.plots import ShownFigure

COLUMNS = ("run", "layer", "‖∂L/∂h₁‖", "‖∂L/∂h_T‖", "‖∂h_T/∂h₁‖/√H", "σ_max", "horizon", "gates")


class Diagnosis:
    """How gradients travel through the time steps of models.

    Attributes:
        data: by run, see `rnnbench.trained.diagnose.diagnose`.
    """

    def __init__(self, data: Mapping[str, Any]) -> None:
        self.data = dict(data)

    @property
    def table(self) -> Listing:
        """Return a row for each layer of each run."""
        return Listing(
            [dict(zip(COLUMNS, cells, strict=True)) for cells in table_cells(self.data)], COLUMNS
        )

    def plot(self) -> ShownFigure:
        """Return a picture of norms over time, and of singular values."""
        return draw(self.data)

    def __repr__(self) -> str:
        return repr(self.table)

    def _repr_html_(self) -> str:
        return self.table._repr_html_()


def table_cells(diagnoses: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """Return the cells of a table with a row for each layer of each run, under `COLUMNS`."""
    rows: list[tuple[str, ...]] = []
    for run, diagnosis in diagnoses.items():
        for layer, f in diagnosis["layers"].items():
            spectra = f.get("singular_values", {})
            largest = max((s[0] for s in spectra.values()), default=None)
            gates = " ".join(f"{k} {v['mean']:.2f}" for k, v in f.get("gates", {}).items())
            lost = f.get("horizon")
            horizon = "-" if "horizon" not in f else "beyond the end" if lost is None else str(lost)
            rows.append((
                run, layer, _as_text(f["gradient"][0]), _as_text(f["gradient"][-1]),
                _as_text(f["gain"][0]) if "gain" in f else "-",
                "-" if largest is None else _as_text(largest), horizon, gates or "-",
            ))  # fmt: skip
    return rows


def _as_text(value: float) -> str:
    return f"{value:.3g}"


def draw(diagnoses: Mapping[str, Any]) -> ShownFigure:
    """Draw norms over time on a logarithmic axis, and singular values, a line for each layer."""
    with rc_context({"font.size": 9}):
        figure = ShownFigure(figsize=(13, 4.2), layout="constrained")
        axes = figure.subplots(1, 3)
        for run, diagnosis in diagnoses.items():
            for layer, f in diagnosis["layers"].items():
                label = f"{run} {layer}"
                (line,) = axes[0].semilogy(_positive_or_gap(f["gradient"]), label=label)
                style = {"color": line.get_color(), "label": label}
                if "gain" in f:
                    axes[1].semilogy(_positive_or_gap(f["gain"]), **style)
                for values in f.get("singular_values", {}).values():
                    axes[2].semilogy(_positive_or_gap(values), alpha=0.7, **style)
        titles = ("‖∂L/∂h_t‖", "‖∂h_T/∂h_t‖ / √H", "singular values of ∂s_{t+1}/∂s_t")
        for axis, title, x in zip(axes, titles, ("t", "t", "rank"), strict=True):
            axis.set_title(title)
            axis.set_xlabel(x)
            axis.grid(alpha=0.3)
        axes[2].axhline(1.0, color="black", linewidth=0.7)
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=1)
    return figure


def as_svg(figure: ShownFigure) -> bytes:
    """Return a picture as a file that is the same each time."""
    out = io.BytesIO()
    with rc_context({"svg.hashsalt": "rnnbench", "font.size": 9}):
        figure.savefig(out, format="svg", metadata={"Date": None})
    return out.getvalue()


def _positive_or_gap(values: list[float]) -> list[float]:
    """Return what a logarithmic axis can show; a norm of 0 leaves a gap."""
    return [v if v > 0 else float("nan") for v in values]
