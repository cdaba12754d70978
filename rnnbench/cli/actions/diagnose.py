"""`rnnbench diagnose`: how gradients travel, as a table, a picture and data."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from rnnbench.files.atomic import replace_file
from rnnbench.report.terminal.plain_console import plain_console


def diagnose_command(
    root: Path, runs: tuple[str, ...], folder: Path, rows: int, steps: int, untrained: bool
) -> None:
    """Diagnose runs, print a table, and write `diagnosis.json` and `diagnosis.svg`."""
    from rnnbench.results.find_run import root_of
    from rnnbench.results.store import Store
    from rnnbench.trained.diagnose import diagnose
    from rnnbench.trained.load import load_run, untrained_run

    store, diagnoses = Store(root_of(root, runs)), {}
    for run in runs:
        trained = load_run(store, run)
        diagnoses[trained.record.run_id] = diagnose(trained, rows, steps)
        if untrained:
            fresh = untrained_run(trained.record)
            diagnoses[f"{trained.record.run_id} (untrained)"] = diagnose(fresh, rows, steps)
    folder.mkdir(parents=True, exist_ok=True)
    replace_file(folder / "diagnosis.json", json.dumps(diagnoses, indent=1, allow_nan=False))
    draw(diagnoses, folder / "diagnosis.svg")
    _print_table(diagnoses, plain_console())
    for name in ("diagnosis.svg", "diagnosis.json"):
        print(f"written: {folder / name}")


def _print_table(diagnoses: dict[str, Any], console: Console) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    columns = (
        "run",
        "layer",
        "‖∂L/∂h₁‖",
        "‖∂L/∂h_T‖",
        "‖∂h_T/∂h₁‖/√H",
        "σ_max",
        "horizon",
        "gates",
    )
    for name in columns:
        table.add_column(name, overflow="fold", justify="left" if name in columns[:2] else "right")
    for run, diagnosis in diagnoses.items():
        for layer, f in diagnosis["layers"].items():
            spectra = f.get("singular_values", {})
            largest = max((s[0] for s in spectra.values()), default=None)
            gates = " ".join(f"{k} {v['mean']:.2f}" for k, v in f.get("gates", {}).items())
            lost = f.get("horizon")
            horizon = "-" if "horizon" not in f else "beyond the end" if lost is None else str(lost)
            table.add_row(
                run, layer, _as_text(f["gradient"][0]), _as_text(f["gradient"][-1]),
                _as_text(f["gain"][0]) if "gain" in f else "-",
                "-" if largest is None else _as_text(largest), horizon, gates or "-",
            )  # fmt: skip
    console.print(table)


def _as_text(value: float) -> str:
    return f"{value:.3g}"


def draw(diagnoses: dict[str, Any], path: Path) -> None:
    """Draw norms over time on a logarithmic axis, and singular values, a line for each layer."""
    import io

    import matplotlib

    matplotlib.use("Agg")  # no screen is needed
    from matplotlib import pyplot

    with pyplot.rc_context({"svg.hashsalt": "rnnbench", "font.size": 9}):
        figure, axes = pyplot.subplots(1, 3, figsize=(13, 4.2), layout="constrained")
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
        out = io.BytesIO()
        figure.savefig(out, format="svg", metadata={"Date": None})
        pyplot.close(figure)
    replace_file(path, out.getvalue())


def _positive_or_gap(values: list[float]) -> list[float]:
    """Return what a logarithmic axis can show; a norm of 0 leaves a gap."""
    return [v if v > 0 else float("nan") for v in values]
