"""`rnnbench diagnose`: how gradients travel, as a table, a picture and data."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from rnnbench.files.atomic import replace_file
from rnnbench.report.terminal.plain_console import plain_console
from rnnbench.session.diagnosis import COLUMNS, as_svg, draw, table_cells


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
    replace_file(folder / "diagnosis.svg", as_svg(draw(diagnoses)))
    _print_table(diagnoses, plain_console())
    for name in ("diagnosis.svg", "diagnosis.json"):
        print(f"written: {folder / name}")


def _print_table(diagnoses: dict[str, Any], console: Console) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in COLUMNS:
        table.add_column(name, overflow="fold", justify="left" if name in COLUMNS[:2] else "right")
    for cells in table_cells(diagnoses):
        table.add_row(*cells)
    console.print(table)
