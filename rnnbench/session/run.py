"""Runs from Python: `rb.run`, `rb.check`, `rb.load`."""

from __future__ import annotations

import shlex
import signal
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rnnbench.errors import OutageError, Refusal
from rnnbench.registry.given_classes import given_class
from rnnbench.results.outages import KIND, fault_named
from rnnbench.session.advice import in_python
from rnnbench.session.finished_run import FinishedRun
from rnnbench.session.place import results_place
from rnnbench.session.progress import run_progress
from rnnbench.session.request import Named, make_request
from rnnbench.spec.run_spec import RunSpec
from rnnbench.training.stopping import exit_code

if TYPE_CHECKING:
    from rnnbench.contract import Architecture, Task, Trick
    from rnnbench.results.record import Record
    from rnnbench.training.dry_run import Checked


@in_python
def run(
    task: Named | Task | type[Task],
    architecture: Named | Architecture | type[Architecture],
    tricks: Named | Trick | type[Trick] | Sequence[Named | Trick | type[Trick]] = (),
    *,
    seed: int = 0,
    no_test: bool = False,
    out: Path | str | None = None,
    progress: bool | None = None,
    settings: Mapping[str, Any] | None = None,
    **fields: Any,
) -> FinishedRun:
    """Train an architecture on a task, test it once, and keep a record, as `rnnbench run` does.

    The same call again returns the finished run, or goes on where it was stopped.

    Args:
        task, architecture, tricks: names, with settings where wanted ("zoneout:rate=0.1",
            ("zoneout", {"rate": 0.1}), {"name": "zoneout", "rate": 0.1}), or objects. A DataFrame
            for a setting that is the path of a table is written into the results.
        no_test: leave the test split alone, as a search trial does.
        out: folder or address of results; None: RNNBENCH_RESULTS, else rnnbench-results.
        progress: show how it goes; None: in a notebook and on a terminal.
        settings: by dotted name: {"architecture.hidden": 32, "budget.steps": 500}.
        fields: settings by the name of their field alone (hidden=32, steps=500), where one part
            of the run has it; or sections: budget={"steps": 500}.

    Returns:
        The run, however it ended: see its `status`.

    Raises:
        SpecError, PluginError: something that is asked for cannot be.
        Refusal: the combination makes no sense.
        OutageError: something is away that it needs; the same call goes on when it is back.
        KeyboardInterrupt: it was stopped by hand; what it has is saved.
    """
    spec, trainer = make_request(
        task, architecture, tricks, seed=seed, test=not no_test, settings=settings,
        keywords=fields, out=out,
    )  # fmt: skip
    if trainer.devices > 1:
        refuse_given(spec, "trainer.devices=1 trains it in this process")
    from rnnbench.results.record import Status
    from rnnbench.results.store import SEND_SECONDS, Store
    from rnnbench.session.finish import finish_run
    from rnnbench.training.resolve import resolve_with_plugins

    resolved = resolve_with_plugins(spec)
    place = results_place(out)
    with closing(Store(place, patience=SEND_SECONDS)) as store:
        watch = run_progress(progress)
        record, before, _ = finish_run(resolved, trainer, store, checked=_ignore, watch=watch)
    if record.status is Status.INTERRUPTED and not before:
        _raise_interruption(record)
    return FinishedRun(record, place)


def _raise_interruption(record: Record) -> None:
    """Raise what stopped a run, so that nothing after it is taken for the run's end."""
    again = f"{record.run_id} was stopped ({record.reason}); the same call goes on from here"
    if kind := record.provenance.get(KIND):
        fault = fault_named(kind)
        raise OutageError(f"{again}\n  Not the model's fault: {fault.what}. {fault.advice}")
    name = record.provenance.get("signal", "SIGINT")
    if name == "SIGINT":
        raise KeyboardInterrupt(again)
    raise SystemExit(exit_code(signal.Signals[name]))


def _ignore(checked: Checked) -> None:
    """Say nothing of a run that is possible."""


@in_python
def check(
    task: Named | Task | type[Task],
    architecture: Named | Architecture | type[Architecture],
    tricks: Named | Trick | type[Trick] | Sequence[Named | Trick | type[Trick]] = (),
    *,
    seed: int = 0,
    out: Path | str | None = None,
    settings: Mapping[str, Any] | None = None,
    **fields: Any,
) -> Checked:
    """Tell whether a combination is possible, by one training step without memory or compute.

    Args: see `run`.

    Returns:
        The number of its parameters, and on what the step was made.

    Raises:
        SpecError, PluginError, Refusal: it is not possible; the message says why.
    """
    spec, _ = make_request(
        task, architecture, tricks, seed=seed, settings=settings, keywords=fields, out=out,
        caller="rb.check",
    )  # fmt: skip
    from rnnbench.training.dry_run import check_resolved
    from rnnbench.training.resolve import resolve_with_plugins

    return check_resolved(resolve_with_plugins(spec))


@in_python
def load(run: str | Path, *, out: Path | str | None = None) -> FinishedRun:
    """Return a run by its id, the beginning of one, or its folder.

    Args:
        out: folder or address of results, see `run`.

    Raises:
        RunError: no run matches, or several do.
    """
    from rnnbench.results.find_run import find_run, root_of
    from rnnbench.results.store import Store

    place = root_of(results_place(out), [str(run)])
    with closing(Store(place)) as store:
        return FinishedRun(find_run(store, str(run)), place)


def refuse_given(spec: RunSpec, instead: str) -> None:
    """Refuse plugins that other processes cannot import.

    Raises:
        Refusal: a plugin of the run was given as a class of this session.
    """
    parts = [("tasks", spec.task), ("architectures", spec.architecture)]
    for kind, plugin in [*parts, *(("tricks", t) for t in spec.tricks)]:
        cls = given_class(kind, plugin.name)
        if cls is not None:
            raise Refusal(unimportable(kind, cls, instead))


def unimportable(kind: str, cls: Any, instead: str) -> str:
    """Say why a class of this session cannot be used by another process, and what to do."""
    new = shlex.join(["rnnbench", "new", kind[:-1], cls.name])
    return (
        f"{cls.__name__} was defined in this Python session: workers are other processes, and "
        f"cannot import it.\n  {instead}; or make it a plugin, which workers import: {new}"
    )
