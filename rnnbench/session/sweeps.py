"""Sweeps from Python: `rb.sweep`."""

from __future__ import annotations

import dataclasses
import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import closing
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from rnnbench.errors import SpecError, SweepError
from rnnbench.files.shipped_sweeps import find_sweep_file
from rnnbench.files.yaml_with_lines import Place, parse_yaml
from rnnbench.leaderboard.boards import build
from rnnbench.registry.schema import KINDS
from rnnbench.results.record import Record
from rnnbench.results.store import Store
from rnnbench.session.advice import in_python
from rnnbench.session.answers import is_table
from rnnbench.session.boards import BoardList, runs, warn_of_damage
from rnnbench.session.listing import Listing
from rnnbench.session.place import results_place
from rnnbench.session.progress import sweep_progress
from rnnbench.session.ranges import refuse_below, refuse_other
from rnnbench.session.request import keep_table, read_plugin
from rnnbench.session.run import unimportable
from rnnbench.session.sweep_tasks import label_data_sets
from rnnbench.sweep.file.read_search import read_seconds
from rnnbench.sweep.file.sweep import Sweep, parse_sweep, read_sweep
from rnnbench.sweep.ledger.ledger import Ledger
from rnnbench.sweep.ledger.process_identity import identity

if TYPE_CHECKING:
    from rnnbench.sweep.progress import SweepOutcome

SAID = "rb.sweep"  # what messages call a sweep that is no file


class FinishedSweep:
    """A sweep that has ended, or was stopped.

    Attributes:
        name: of the sweep.
        outcome: how each cell ended, see `rnnbench.sweep.progress.SweepOutcome`.
        leaderboard: boards of its runs alone.
        out: folder or address of the results.
    """

    def __init__(self, outcome: SweepOutcome, boards: BoardList, out: Path | str) -> None:
        self.name, self.outcome, self.leaderboard, self.out = outcome.sweep, outcome, boards, out

    @property
    def complete(self) -> bool:
        """Tell whether nothing of it is left to do."""
        return self.outcome.complete

    @property
    def refused(self) -> Listing:
        """Return the combinations that cannot run, with the reasons."""
        return Listing(self.outcome.refused, empty="no combination is refused")

    @property
    def failures(self) -> Listing:
        """Return the trials and final runs that failed, with the reasons."""
        rows = [dataclasses.asdict(f) for f in self.outcome.failures]
        return Listing(rows, empty="no trial failed")

    def runs(self) -> Listing:
        """Return its runs, see `rb.runs`."""
        return runs(sweep=self.name, out=self.out)

    def __repr__(self) -> str:
        return "\n".join([repr(self.leaderboard), *self._said()])

    def _repr_html_(self) -> str:
        said = "".join(f"<p>{escape(text)}</p>" for text in self._said())
        return self.leaderboard._repr_html_() + said

    def _said(self) -> list[str]:
        failures = [f"failed: {f.key}: {f.status}: {f.reason}" for f in self.outcome.failures]
        return [*failures, *self.outcome.remarks, self.outcome.summary()]


@in_python
def sweep(
    file: str | Path | Mapping[str, Any],
    *,
    trials: int | None = None,
    timeout: str | None = None,
    workers: int | None = None,
    engine: Literal["local", "ray", "slurm"] = "local",
    address: str = "auto",
    slurm: tuple[str, ...] = (),
    out: Path | str | None = None,
    database: str | None = None,
    studies: str | None = None,
    progress: bool | None = None,
) -> FinishedSweep:
    """Search every cell of a grid and re-run the best on fresh seeds, as `rnnbench sweep` does.

    The same call again re-runs nothing that is finished, and goes on where it was stopped.

    Args:
        file: the name of a file, or of a sweep that comes with rnnbench; or what such a file holds,
            as a mapping.
        trials, timeout, workers: replace those of the file.
        engine: processes of this machine, a Ray cluster, or jobs of Slurm.
        address: of the Ray cluster.
        slurm: options of sbatch, such as "partition=gpu".
        out: folder or address of results, see `rb.run`.
        database, studies: URLs, see `rnnbench sweep --help`; None: RNNBENCH_DATABASE and
            RNNBENCH_STUDIES, else in the results.
        progress: show how it goes; None: in a notebook and on a terminal.

    Raises:
        SweepError: it cannot be as it is written; the message says where.
        SpecError: an argument that cannot be, or that would be ignored.
        OutageError: something is away that it needs; the same call goes on.
        KeyboardInterrupt: it was stopped by hand; nothing that is finished is lost.
    """
    refuse_below(0, trials=trials)
    refuse_below(1, workers=workers)
    refuse_other("engine", engine, ("local", "ray", "slurm"))
    if slurm and engine != "slurm":
        raise SpecError("slurm would be ignored: only engine='slurm' submits jobs")
    said = _said_in_python(file, out) if isinstance(file, Mapping) else None
    asked = read_sweep(find_sweep_file(Path(file))) if said is None else said  # type: ignore[arg-type]
    asked = with_limits(asked, trials, timeout)
    started = {"trials": trials, "timeout": timeout}
    if workers is not None:
        asked = dataclasses.replace(asked, workers=workers)
    database = database or os.environ.get("RNNBENCH_DATABASE") or None
    studies = studies or os.environ.get("RNNBENCH_STUDIES") or None
    place = results_place(out)
    outcome = drive(
        asked, sweep_progress(progress), engine=engine, address=address, slurm=slurm, root=place,
        database=database, studies=studies, started=started,
    )  # fmt: skip
    if outcome.signal and not outcome.complete:
        raise KeyboardInterrupt(f"{outcome.summary()}")
    with closing(Store(place, database)) as store:
        label_data_sets(store, asked, records_of(store, asked))
        boards = BoardList(build(records_of(store, asked)))
        warn_of_damage(store)
    return FinishedSweep(outcome, boards, place)


def drive(
    sweep: Sweep, view: Any, *, engine: str, address: str, slurm: tuple[str, ...],
    root: Path | str, database: str | None, studies: str | None, started: Mapping[str, Any],
    resume: str | None = None,
) -> SweepOutcome:  # fmt: skip
    """Run all that is left of a sweep, and tell whom its file names of its end.

    Args:
        view: shows how it goes, a `rnnbench.sweep.progress.Progress` within `with`.
        started, resume: see `rnnbench.sweep.run_sweep.run_sweep`.
    """
    from rnnbench.sweep.engines.choose import EngineChoice
    from rnnbench.sweep.operations.notifier import Notifier
    from rnnbench.sweep.run_sweep import run_sweep

    notifier = Notifier(sweep.name, sweep.notify, view.note)
    with notifier.watching():
        with view:
            outcome = run_sweep(
                sweep, root=root, database=database, studies=studies, started=started,
                progress=view, on_breaker=notifier.tell_breaker,
                engine=EngineChoice(engine, address, slurm),  # type: ignore[arg-type]
                resume=resume,
            )  # fmt: skip
        notifier.tell_end(outcome)
    return outcome


def with_limits(sweep: Sweep, trials: int | None, timeout: str | None) -> Sweep:
    """Return a sweep with other limits of its search, where they are given."""
    search = sweep.search
    if trials is not None:
        search = dataclasses.replace(search, trials=trials)
    if timeout is not None:
        search = dataclasses.replace(search, timeout=read_seconds(timeout))
    return dataclasses.replace(sweep, search=search)


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


def _said_in_python(content: Mapping[str, Any], out: Path | str | None = None) -> Sweep:
    """Return the sweep that a mapping describes, as a file with it would.

    Args:
        out: folder or address of results, in which tables are kept.

    Raises:
        SweepError: it cannot be; the message says under which key.
    """
    # JSON is YAML in which no text is taken for a number, and each value has a line of its own.
    text = json.dumps(_plain(content, (), out), indent=1, ensure_ascii=False)
    try:
        return parse_sweep(text, SAID)
    except SweepError as error:
        keys = {line: place for place, line in parse_yaml(text, SAID).lines.items()}

        def key(match: re.Match[str]) -> str:
            return _where(keys.get(int(match[1]), ()))

        message = re.sub(rf"{re.escape(SAID)}:(\d+)", key, str(error))
        raise SweepError(message) from error


def _where(place: Place) -> str:
    """Return a place of a mapping as it is typed."""
    return SAID + "".join(f"[{part!r}]" for part in place)


def _plain(value: Any, place: Place, out: Path | str | None) -> Any:
    """Return what a file holds, with names for objects of installed plugins.

    Raises:
        SweepError: an object of a class of this session, or something that no file holds.
    """
    if isinstance(value, Mapping):
        return {str(k): _plain(v, (*place, str(k)), out) for k, v in value.items()}
    if type(value).__module__ == "numpy" and hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, (list, tuple, range, set, frozenset)):
        return [_plain(v, (*place, i), out) for i, v in enumerate(value)]
    if value is None or isinstance(value, (str, bool, int, float)):
        return value
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if is_table(value):
        return keep_table(value, out)
    kind = str(place[0]) if place and place[0] in KINDS else ""
    cls = value if isinstance(value, type) else type(value)
    if not kind or not hasattr(cls, "name"):
        raise SweepError(
            f"{_where(place)}: a sweep holds names, numbers, lists and mappings; got {value!r:.80}"
        )
    name, own = read_plugin(kind, value)
    if name != cls.name:
        instead = "Train it here, one run at a time, with rb.run"
        raise SweepError(f"{_where(place)}: {unimportable(kind, cls, instead)}")
    return {"name": name, **_plain(own, place, out)}
