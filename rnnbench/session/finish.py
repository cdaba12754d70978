"""Sees to it that a run is finished: found, or trained from its start or its last checkpoint."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import NamedTuple

from rnnbench.results.labels import relabel
from rnnbench.results.record import Record
from rnnbench.results.run_lock import locked
from rnnbench.results.store import Store
from rnnbench.spec.run_spec import Trainer
from rnnbench.training.dry_run import Checked, check_resolved
from rnnbench.training.execute import execute
from rnnbench.training.progress import OnStep
from rnnbench.training.resolve import ResolvedRun


class EndedRun(NamedTuple):
    """A run that has ended.

    Attributes:
        before: it had ended before it was asked for.
        renamed: how many records on the same data have another label from now on.
    """

    record: Record
    before: bool
    renamed: int = 0


def finish_run(
    run: ResolvedRun,
    trainer: Trainer,
    store: Store,
    *,
    checked: Callable[[Checked], None],
    watch: AbstractContextManager[OnStep],
) -> EndedRun:
    """Return a run's record: that of the finished run, or of the one that is trained now.

    Args:
        checked: told of a run that is possible, before it is trained.
        watch: shows how training goes.

    Raises:
        Refusal: the combination makes no sense.
        RunInUseError: another process trains it.
    """
    spec, plugins = run
    record = store.finished(spec.run_id)
    if record is not None:
        return EndedRun(record, True, relabel(store, spec.task, spec.data, spec.label))
    checked(check_resolved(run))
    with locked(store.run_dir(spec.run_id)):
        record = store.finished(spec.run_id)  # by another process in the meantime
        if record is not None:
            return EndedRun(record, True)
        previous = store.read(spec.run_id)
        with watch as on_step:
            record = execute(
                spec,
                store=store,
                trainer=trainer,
                attempt=1 if previous is None else previous.attempt + 1,
                on_step=on_step,
                quiet=False,
                plugins=plugins,
            )
    return EndedRun(record, False, relabel(store, spec.task, spec.data, spec.label))
