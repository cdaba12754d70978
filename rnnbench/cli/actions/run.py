"""`rnnbench run`: check, execute with a progress bar, and show the figures."""

from __future__ import annotations

import signal
from pathlib import Path

from rich.console import Console
from rich.table import Table

from rnnbench.cli.actions.inspect_data import told_before, typed_settings
from rnnbench.errors import OutageError
from rnnbench.leaderboard.idle_notes import idle_tricks, metric_notes
from rnnbench.leaderboard.limit_notes import length_marks, length_notes
from rnnbench.report.terminal.plain_console import plain_console
from rnnbench.report.terminal.run_progress import ProgressBar
from rnnbench.results.outages import KIND, fault_named
from rnnbench.results.record import Record, Status
from rnnbench.results.store import SEND_SECONDS, Store
from rnnbench.session.finish import finish_run
from rnnbench.spec.from_command_line import describe_spec
from rnnbench.spec.run_spec import Trainer
from rnnbench.training.dry_run import Checked
from rnnbench.training.resolve import ResolvedRun
from rnnbench.training.stopping import exit_code


def run_once(run: ResolvedRun, trainer: Trainer, root: Path | str, *, quiet: bool) -> int:
    """Execute a run unless it is finished, and show its record; return the exit code."""
    spec, plugins = run
    console, store = plain_console(), Store(root, patience=SEND_SECONDS)
    for told in told_before(plugins.task, typed_settings(spec.task.settings, spec.task.name)):
        console.print(told, soft_wrap=True)

    def say(checked: Checked) -> None:
        text = f"{describe_spec(spec)}: {checked.parameters:,} parameters"
        console.print(text, soft_wrap=True)

    watch = ProgressBar(console, quiet=quiet)
    record, before, renamed = finish_run(run, trainer, store, checked=say, watch=watch)
    if before:
        if renamed:
            console.print(f"{renamed} runs on these data are called {spec.label!r} from now on")
        return _show_finished(record, store, console)
    show(record, console)
    if record.status is Status.INTERRUPTED:
        if kind := record.provenance.get(KIND):
            fault = fault_named(kind)
            console.print(f"Not the model's fault: {fault.what}.", soft_wrap=True)
            console.print(f"What to do: {fault.advice}.", soft_wrap=True)
        console.print("The same command goes on from here.")
    console.print(f"{record.status}: {store.place(spec.run_id)}", soft_wrap=True)
    return exit_code_of(record)


def _show_finished(record: Record, store: Store, console: Console) -> int:
    """Show a run that was finished before; return the exit code."""
    text = f"finished before, not run again: {store.place(record.run_id)}"
    console.print(text, soft_wrap=True)
    show(record, console)
    return exit_code_of(record)


def exit_code_of(record: Record) -> int:
    """Return a run's exit code.

    0: done; 69: a fault of the infrastructure, and 75: pre-empted, both to be run again; 130 and
    143: Ctrl-C and SIGTERM; 1: all else.
    """
    name = record.provenance.get("signal")
    if record.status is Status.INTERRUPTED and KIND in record.provenance:
        return OutageError.exit_code
    if record.status is Status.INTERRUPTED:
        return exit_code(signal.Signals[name] if name else signal.SIGINT)
    return 0 if record.status is Status.DONE else 1


def show(record: Record, console: Console) -> None:
    """Print the metrics of both splits beside the trivial baselines, and the cost."""
    if record.status is not Status.DONE:
        console.print(f"{record.status}: {record.reason}", soft_wrap=True)
    if not record.metrics:
        return
    splits = list(record.metrics)
    last = "test" if "test" in splits else "valid"
    baselines = record.baselines.get(last, {})
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("metric", *splits, *(f"{b} ({last})" for b in baselines)):
        table.add_column(name, justify="left" if name == "metric" else "right")
    units = {m["name"]: m["unit"] for m in record.metric_info}
    for name in record.metrics[splits[0]]:
        cells = [format_figure(record.metrics[s].get(name)) for s in splits]
        cells += [format_figure(b.get(name)) for b in baselines.values()]
        table.add_row(f"{name} {units.get(name, '')}".strip(), *cells)
    console.print(table)
    for remark in remarks(record):
        console.print(f"note: {remark}", soft_wrap=True)
    cost = record.cost
    console.print(
        f"{cost['parameters']:,.0f} parameters, {cost['steps']:,.0f} steps, "
        f"{cost['tokens']:,.0f} target elements, {cost['train_seconds']:.1f} s of training, "
        f"{cost['wall_seconds']:.1f} s in all"
    )
    for text in [*idle_tricks(record), *metric_notes([record])]:
        console.print(f"note: {text}", soft_wrap=True)


def remarks(record: Record) -> list[str]:
    """Return what a reader must know beside a run's figures."""
    told: list[str] = []
    if fallback := record.selection.get("fallback"):
        told.append(f"{fallback['note']} step {record.selection['step']}")
    split = "test" if "test" in record.metrics else "valid"
    return [*told, *length_marks([record], split), *length_notes([record], split)]


def format_figure(value: float | None) -> str:
    """Return a figure to four digits, "-" where there is none."""
    return "-" if value is None else f"{value:.4g}"
