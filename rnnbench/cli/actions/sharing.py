"""Does the commands export, import and verify, and says in words what came out."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from rnnbench.report.files.runs import TABLES, TableError, to_wandb, write_table
from rnnbench.results.find_run import root_of
from rnnbench.results.record import Record
from rnnbench.results.sharing.bundle import chosen_runs, write_bundle
from rnnbench.results.sharing.unpack import import_bundle
from rnnbench.results.store import Store


def export_command(
    root: Path, runs: Sequence[str], task: str | None, to: Path, weights: bool
) -> None:
    """Write a bundle, or a table where the file's name says so."""
    store = Store(root_of(root, runs))
    if to.suffix in TABLES:
        records = _choose_records(store, runs, task)
        write_table(records, to)
        print(f"{to}: {_count(len(records), 'run')}, a line each")
        return
    if to.suffix != ".zip":
        raise TableError(f"{to}: write a bundle (.zip), or a table ({', '.join(TABLES)})")
    if not runs and task is None:
        raise TableError("a bundle holds runs that you choose: name them, or a task with --task")
    written = write_bundle(store, chosen_runs(store, runs, task), to, weights=weights)
    print(f"{written.path}: {_count(written.runs, 'run')}, {written.bytes / 2**20:.2f} MiB")
    if weights and written.without_weights:
        print(
            f"  {_count(len(written.without_weights), 'run')} without weights, which only a "
            "finished run leaves: " + ", ".join(written.without_weights[:5])
        )
    print(f"  read it elsewhere: rnnbench import {shlex.quote(written.path.name)}")


def wandb_command(root: Path, runs: Sequence[str], task: str | None, project: str) -> None:
    """Enter runs in a W&B project."""
    to_wandb(_choose_records(Store(root_of(root, runs)), runs, task), project, print)


def _choose_records(store: Store, runs: Sequence[str], task: str | None) -> list[Record]:
    """Return the runs named, those of a task, or all."""
    if not runs and task is None:
        return list(store.records())
    return chosen_runs(store, runs, task)


def import_command(root: Path, bundles: Sequence[Path]) -> None:
    """Add the runs of bundles, and say how to check one."""
    store = Store(root)
    for bundle in bundles:
        outcome = import_bundle(bundle, store)
        print(f"{bundle}: {_count(len(outcome.added), 'run')} added, marked unverified")
        if outcome.known:
            print(
                f"  {_count(len(outcome.known), 'run')} were here already, and stay as they were: "
                + ", ".join(outcome.known[:5])
            )
        if outcome.added:
            without = set(outcome.without_weights)
            verifiable = next((r for r in outcome.added if r not in without), None)
            how = f"{verifiable}" if verifiable else f"{outcome.added[0]} --retrain"
            print(f"  check one: rnnbench verify {how}")


def verify_command(root: Path, runs: Sequence[str], retrain: bool, tolerance: float) -> int:
    """Check runs, and return the exit code: 0 where all agree, 1 where one differs."""
    from rnnbench.trained.verify import verify

    store, code = Store(root_of(root, runs)), 0
    for record in chosen_runs(store, runs, None):
        outcome = verify(store, record, retrain=retrain, tolerance=tolerance)
        metric = record.headline["name"]
        split = "test" if record.spec.test else "valid"
        value = next((f for f in outcome.figures if f[:2] == (split, metric)), None)
        shown = f"{metric} on {split} {value[3]:.6g}" if value and value[3] is not None else metric
        if outcome.differences:
            code = 1
            print(f"{record.run_id}: differs, {outcome.how}")
            for line in outcome.differences:
                print(f"  {line}")
        else:
            near = (
                "equal to the last digit"
                if outcome.exact
                else f"equal within {tolerance:g} relative"
            )
            print(
                f"{record.run_id}: verified, {outcome.how}: {shown}; "
                f"all {len(outcome.figures)} figures {near}"
            )
    return code


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"
