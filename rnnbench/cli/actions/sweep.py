"""`rnnbench sweep`: fetch the data, search, run the best again, and show the leaderboard."""

from __future__ import annotations

import dataclasses
import os
import shlex
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from rich.console import Console

from rnnbench.cli.actions.inspect_data import told_before, typed_settings
from rnnbench.cli.actions.leaderboard import report_damage
from rnnbench.cli.actions.sweep_control import open_sweep, resume_command
from rnnbench.errors import SpecError, UserError
from rnnbench.files.shipped_sweeps import find_sweep_file
from rnnbench.leaderboard.boards import build
from rnnbench.report.page.page import write_page
from rnnbench.report.terminal.board import print_boards
from rnnbench.report.terminal.plain_console import plain_console
from rnnbench.results.labels import relabel
from rnnbench.results.record import Record
from rnnbench.results.store import Store
from rnnbench.spec.data_set import LABEL, read_label
from rnnbench.spec.run_spec import PluginSpec
from rnnbench.sweep.file.read_search import read_seconds
from rnnbench.sweep.file.sweep import Sweep, parse_sweep, read_sweep
from rnnbench.sweep.ledger.ledger import Ledger
from rnnbench.sweep.ledger.process_identity import describe, identity


def run_file(file: Path, *, trials: int | None, timeout: str | None, **options: Any) -> int:
    """Run a sweep file to its end; return the exit code.

    Args:
        trials, timeout: replace those of the file.
        options: further arguments of `run`.
    """
    sweep = read_sweep(find_sweep_file(file))  # before anything slow is imported
    search = sweep.search
    if trials is not None:
        search = dataclasses.replace(search, trials=trials)
    if timeout is not None:
        search = dataclasses.replace(search, timeout=read_seconds(timeout))
    started = {"trials": trials, "timeout": timeout}
    return run(dataclasses.replace(sweep, search=search), started=started, **options)


def resume_sweep(name: str, *, root: Path | str, database: str | None, **options: Any) -> int:
    """End a pause, or go on with a sweep that nobody runs; return the exit code.

    Args:
        options: further arguments of `run`.
    """
    with open_sweep(name, root, database) as handle:
        request = handle.requests.read()
        handle.requests.change(paused=False)
        if request.pace.get("outage"):  # whoever drives it forgets what was put off
            handle.requests.change(revision=request.revision + 1)
        if holder := handle.holder():
            print(f"{name} goes on, run by {describe(holder)}")
            return 0
    sweep = parse_sweep(request.text, request.file)
    search, started = sweep.search, request.started
    if started.get("trials") is not None:
        search = dataclasses.replace(search, trials=started["trials"])
    if started.get("timeout") is not None:
        search = dataclasses.replace(search, timeout=read_seconds(started["timeout"]))
    sweep = dataclasses.replace(sweep, search=search)
    return run(sweep, started=started, root=root, database=database, **options)


def run(
    sweep: Sweep,
    *,
    engine: str,
    address: str,
    slurm: tuple[str, ...],
    workers: int | None,
    studies: str | None,
    html: bool,
    root: Path | str,
    database: str | None,
    started: dict[str, Any],
) -> int:
    """Fetch data, search, run the best again, show the leaderboard; return the exit code.

    Args:
        slurm: options of `sbatch`.
        studies: Optuna storage for copies of the studies; None: in the store.
        started: options of this start, for `rnnbench sweep resume`.
    """
    if workers is not None:
        sweep = dataclasses.replace(sweep, workers=workers)
    console = plain_console()
    _fetch(sweep, console)
    from rnnbench.report.terminal.sweep_progress import TerminalProgress, table
    from rnnbench.sweep.engines.choose import EngineChoice
    from rnnbench.sweep.operations.notifier import Notifier
    from rnnbench.sweep.run_sweep import run_sweep

    view = TerminalProgress(console)
    notifier = Notifier(sweep.name, sweep.notify, view.note)
    with notifier.watching():
        with view:
            outcome = run_sweep(
                sweep, root=root, database=database, studies=studies, started=started,
                progress=view, on_breaker=notifier.tell_breaker,
                engine=EngineChoice(engine, address, slurm),  # type: ignore[arg-type]
                resume=resume_command(sweep.name, root, database),
            )  # fmt: skip
        notifier.tell_end(outcome)
    for failure in outcome.failures:
        text = f"failed: {failure.key}: {failure.status}: {failure.reason}"
        console.print(text, soft_wrap=True)
    if taken := outcome.last.account.line():
        console.print(table(outcome.last))
        console.print(taken, soft_wrap=True)
    for remark in outcome.remarks:
        console.print(remark, soft_wrap=True)
    with closing(Store(root, database)) as store:
        _label_data_sets(store, sweep)
        boards = build(records_of(store, sweep))
        report_damage(store)
    if boards:
        print_boards(boards, console)
    if html and boards:
        page = store.root / "sweeps" / sweep.name / "leaderboard.html"
        page.parent.mkdir(parents=True, exist_ok=True)
        command = f"rnnbench sweep {shlex.quote(Path(sweep.text.file).name)}"
        write_page(
            boards, page, f"Sweep {sweep.name}", refused=outcome.refused, command=command,
            taken=outcome.last.account.line(), taken_by_cell=outcome.last.taken_by_cell(),
        )  # fmt: skip
        print(f"page: {page.resolve()}")
    print(outcome.summary())
    return outcome.exit_code


def _label_data_sets(store: Store, sweep: Sweep) -> None:
    """Name the data sets of runs that were made before the file had these labels."""
    for i, entry in enumerate(sweep.tasks):
        if label := str(entry.get(LABEL) or "").strip():
            task = _task_spec(sweep, i)
            for data in {r.spec.data for r in records_of(store, sweep) if r.spec.task == task}:
                relabel(store, task, data, label)


def _fetch(sweep: Sweep, console: Console) -> None:
    """Fetch the data of all tasks before the first trial; print what is fetched, and read how."""
    tasks = [_make_task(sweep, i) for i in range(len(sweep.tasks))]
    specs = [_task_spec(sweep, i) for i in range(len(sweep.tasks))]
    commands = {
        id(task): typed_settings(spec.settings, spec.name)
        for task, spec in zip(tasks, specs, strict=True)
    }
    sources = {source.name: source for task in tasks for source in task.sources()}
    from rnnbench.data import fetch

    def say(line: str) -> None:
        console.print(line, soft_wrap=True)

    for source in sources.values():
        fetch(source, say)
    for task in tasks:
        for told in told_before(task, commands[id(task)]):
            say(told)


def _task_spec(sweep: Sweep, i: int) -> PluginSpec:
    """Return a task of the file with its fixed settings.

    Raises:
        SpecError: a setting cannot be; the message says where it stands.
    """
    from rnnbench.registry.registry import schema
    from rnnbench.spec.plugin_text import make_plugin_spec

    values = {k: v for k, v in sweep.tasks[i].items() if k != "name"}
    places = {f"task.{k}": sweep.text.at("tasks", i, k) for k in values}
    plugin = schema("tasks", sweep.tasks[i]["name"])
    for group in ("all", plugin.name):
        for name, value in sweep.settings.get(group, {}).items():
            section, _, field = name.partition(".")
            if section == "task" and field in plugin.fields:
                values[field], places[name] = value, sweep.text.at("settings", group, name)
    if LABEL not in plugin.fields and LABEL in values:
        read_label(values.pop(LABEL), f"{places[f'task.{LABEL}']}: ")
    return make_plugin_spec(plugin, values, "task", places)


def _make_task(sweep: Sweep, i: int) -> Any:
    """Make a task of the file with its fixed settings, checked as those of a run are.

    Raises:
        SpecError: a setting cannot be; the message says where it stands.
    """
    from rnnbench.spec.instantiate import create

    spec = _task_spec(sweep, i)
    try:
        return create("tasks", spec)
    except UserError:
        raise
    except (ValueError, TypeError) as error:
        raise SpecError(f"{sweep.text.at('tasks', i)}: {error}") from error


def records_of(store: Store, sweep: Sweep) -> Iterator[Record]:
    """Yield the runs of this sweep, including those that an earlier sweep had made already.

    Each is attributed to the study of this sweep that asked for it, which tells its cells apart.
    """
    ledger = Ledger(store.engine, sweep.name, identity(os.getpid()))
    studies = {row.run_id: row.study for row in ledger.rows() if row.run_id}
    for run_id, study in sorted(studies.items()):
        record = store.read(run_id)
        if record is not None:
            yield dataclasses.replace(record, sweep=sweep.name, study=study)
