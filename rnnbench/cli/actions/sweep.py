"""`rnnbench sweep`: fetch the data, search, run the best again, and show the leaderboard."""

from __future__ import annotations

import dataclasses
import shlex
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
from rnnbench.results.store import Store
from rnnbench.session.sweep_tasks import label_data_sets, task_spec
from rnnbench.session.sweeps import drive, records_of, with_limits
from rnnbench.sweep.file.sweep import Sweep, parse_sweep, read_sweep
from rnnbench.sweep.ledger.process_identity import describe


def run_file(file: Path, *, trials: int | None, timeout: str | None, **options: Any) -> int:
    """Run a sweep file to its end; return the exit code.

    Args:
        trials, timeout: replace those of the file.
        options: further arguments of `run`.
    """
    sweep = read_sweep(find_sweep_file(file))  # before anything slow is imported
    started = {"trials": trials, "timeout": timeout}
    return run(with_limits(sweep, trials, timeout), started=started, **options)


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
    started = request.started
    sweep = with_limits(sweep, started.get("trials"), started.get("timeout"))
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

    outcome = drive(
        sweep, TerminalProgress(console), engine=engine, address=address, slurm=slurm, root=root,
        database=database, studies=studies, started=started,
        resume=resume_command(sweep.name, root, database),
    )  # fmt: skip
    for failure in outcome.failures:
        text = f"failed: {failure.key}: {failure.status}: {failure.reason}"
        console.print(text, soft_wrap=True)
    if taken := outcome.last.account.line():
        console.print(table(outcome.last))
        console.print(taken, soft_wrap=True)
    for remark in outcome.remarks:
        console.print(remark, soft_wrap=True)
    with closing(Store(root, database)) as store:
        label_data_sets(store, sweep, records_of(store, sweep))
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


def _fetch(sweep: Sweep, console: Console) -> None:
    """Fetch the data of all tasks before the first trial; print what is fetched, and read how."""
    tasks = [_make_task(sweep, i) for i in range(len(sweep.tasks))]
    specs = [task_spec(sweep, i) for i in range(len(sweep.tasks))]
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


def _make_task(sweep: Sweep, i: int) -> Any:
    """Make a task of the file with its fixed settings, checked as those of a run are.

    Raises:
        SpecError: a setting cannot be; the message says where it stands.
    """
    from rnnbench.spec.instantiate import create

    spec = task_spec(sweep, i)
    try:
        return create("tasks", spec)
    except UserError:
        raise
    except (ValueError, TypeError) as error:
        raise SpecError(f"{sweep.text.at('tasks', i)}: {error}") from error
