"""Finds runs by what a user calls them. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rnnbench.errors import RunError
from rnnbench.results.record import Record
from rnnbench.results.run_folder import RECORD
from rnnbench.results.store import Store


def root_of(root: Path | str, runs: Sequence[str]) -> Path | str:
    """Return where runs lie: where one is named by its folder, it says so itself.

    Args:
        root: the results for runs that are named by an id.
    Raises:
        RunError: the runs lie in several places.
    """
    roots = {_root_of_folder(run) or root for run in runs}
    if len(roots) > 1:
        raise RunError(
            f"runs of several results: {', '.join(sorted(map(str, roots)))}.\n"
            "  Name the runs of one at a time"
        )
    return next(iter(roots), root)


def _root_of_folder(run: str) -> Path | None:
    folder = Path(run)
    if (folder / RECORD).is_file() and folder.absolute().parent.name == "runs":
        return folder.parent.parent
    return None


def find_run(store: Store, run: str) -> Record:
    """Return the record of a run by its id, the beginning or last part of one, or its folder.

    Raises:
        RunError: none or several match.
    """
    wanted = Path(run).name if Path(run).is_dir() else run
    ids = sorted(f.parent.name for f in (store.root / "runs").glob(f"*/{RECORD}"))
    matches = [i for i in ids if i == wanted] or [
        i for i in ids if i.startswith(wanted) or i.rpartition(".")[2].startswith(wanted)
    ]
    if len(matches) != 1:
        how_many = "no run" if not matches else f"{len(matches)} runs"
        listed = "".join(f"\n  {i}" for i in (matches or ids)[:10])
        raise RunError(
            f"{how_many} of {store.root} match {run!r}; give an id or the beginning of one:{listed}"
            if listed
            else f"{store.root} holds no run; see rnnbench run --help"
        )
    record = store.read(matches[0])
    assert record is not None
    return record
