"""`rnnbench run`: check, execute with a progress bar, and show the figures."""

from __future__ import annotations

import signal
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from rnnbench.cli.actions.inspect_data import told_before, typed_settings
from rnnbench.errors import OutageError
from rnnbench.leaderboard.idle_notes import idle_tricks, metric_notes
from rnnbench.leaderboard.limit_notes import length_marks, length_notes
from rnnbench.report.terminal.plain_console import plain_console
from rnnbench.results.labels import relabel
from rnnbench.results.outages import KIND, fault_named
from rnnbench.results.record import Record, Status
from rnnbench.results.run_lock import locked
from rnnbench.results.store import SEND_SECONDS, Store
from rnnbench.spec.from_command_line import describe_spec
from rnnbench.spec.run_spec import Trainer
from rnnbench.training.dry_run import check_resolved
from rnnbench.training.execute import execute
from rnnbench.training.loader import Position
from rnnbench.training.resolve import ResolvedRun
from rnnbench.training.stopping import exit_code


def run_once(run: ResolvedRun, trainer: Trainer, root: Path | str, *, quiet: bool) -> int:
    """Execute a run unless it is finished, and show its record; return the exit code."""
    spec, plugins = run
    console, store = plain_console(), Store(root, patience=SEND_SECONDS)
    record = store.finished(spec.run_id)
    for told in told_before(plugins.task, typed_settings(spec.task.settings, spec.task.name)):
        console.print(told, soft_wrap=True)
    if record is not None:
        if renamed := relabel(store, spec.task, spec.data, spec.label):
            console.print(f"{renamed} runs on these data are called {spec.label!r} from now on")
        return _show_finished(record, store, console)
    checked = check_resolved(run)
    text = f"{describe_spec(spec)}: {checked.parameters:,} parameters"
    console.print(text, soft_wrap=True)
    with locked(store.run_dir(spec.run_id)):
        record = store.finished(spec.run_id)  # by another process in the meantime
        if record is not None:
            return _show_finished(record, store, console)
        record = _train(run, trainer, store, console, quiet=quiet)
    relabel(store, spec.task, spec.data, spec.label)
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


def _train(
    run: ResolvedRun, trainer: Trainer, store: Store, console: Console, *, quiet: bool
) -> Record:
    """Train a run from its start or its last checkpoint, with a bar; return its record."""
    spec, plugins = run
    previous = store.read(spec.run_id)
    with ProgressBar(console, quiet=quiet) as on_step:
        return execute(
            spec,
            store=store,
            trainer=trainer,
            attempt=1 if previous is None else previous.attempt + 1,
            on_step=on_step,
            quiet=False,
            plugins=plugins,
        )


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


class ProgressBar:
    """A bar with loss and time left on a terminal; elsewhere a line every ten seconds."""

    def __init__(self, console: Console, *, quiet: bool):
        self.console, self.quiet = console, quiet
        self.bar = Progress(
            TextColumn("step {task.fields[step]}", markup=False),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f}%", markup=False),
            TextColumn("loss {task.fields[loss]}", markup=False),
            TimeElapsedColumn(),
            TextColumn("left", markup=False),
            TimeRemainingColumn(),
            console=console,
        )
        self.last = 0.0

    def __enter__(self) -> ProgressBar:
        if self.console.is_terminal and not self.quiet:
            self.bar.start()
            self.id = self.bar.add_task("train", total=1.0, step=0, loss="-")
        return self

    def __exit__(self, *_: object) -> None:
        if self.console.is_terminal and not self.quiet:
            self.bar.stop()

    def __call__(self, at: Position, loss: float, done: float) -> None:
        """Show a pack's mean loss and the part of the budget that is spent."""
        if self.quiet:
            return
        if self.console.is_terminal:
            self.bar.update(self.id, completed=done, step=at.step, loss=f"{loss:.4f}")
        elif time.monotonic() - self.last > 10 or done >= 1:
            self.last = time.monotonic()
            print(f"step {at.step} ({done:.0%}) loss {loss:.4f}", file=sys.stderr)


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
