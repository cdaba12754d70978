"""An Optuna storage that keeps only the trials which proposals and pruning look at.

Optuna's samplers and pruners walk over all trials of a study at every call, so the time of a
proposal grows with their number. A `BoundedStorage` forgets: it keeps the running trials, the
latest ones that ended, and the best ones. Which ones it keeps depends on the trials that ended and
not on the order in which they did, so a study that is rebuilt from the ledger keeps the same.
"""

from __future__ import annotations

import copy
import heapq
from collections import Counter
from collections.abc import Container, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.study._frozen import FrozenStudy
from optuna.trial import FrozenTrial, TrialState

PARENTS = ":parent:"  # in the name under which genetic samplers note the parents of a generation


class BoundedStorage(BaseStorage):
    """An Optuna storage of one study, in which the id of a trial is its number.

    Args:
        latest: number of ended trials to keep, those with the highest numbers.
        best: number of ended, feasible trials to keep that are best, for each objective.
    """

    def __init__(self, latest: int, best: int = 0) -> None:
        self._latest_count, self._best_count = latest, best
        self._directions: list[StudyDirection] = []
        self._attributes: dict[str, Any] = {}
        self._trials: dict[int, FrozenTrial] = {}  # in the order of their numbers
        self._holds: Counter[int] = Counter()  # reasons to keep an ended trial
        self._latest: list[int] = []  # a heap: the oldest first
        self._best: list[list[tuple[float, int]]] = []  # heaps, an objective each: the worst first
        self._recent: set[int] = set()
        self._pruning = False
        self._next = 0

    # ------------------------------------------------------------------------- beyond a storage

    def enter(self, trial: FrozenTrial, number: int) -> None:
        """Add a trial of an earlier start, or of an earlier study (with a number below 0).

        Numbers rise from one call to the next.
        """
        trial.number = trial._trial_id = number
        self._trials[number] = trial
        self._next = max(self._next, number + 1)
        if trial.state.is_finished():
            self.settle(number)

    def settle(self, number: int) -> None:
        """Keep or forget a trial that has ended; called after its study was told."""
        trial = self._trials[number]
        self._holds[number] += 1
        if trial.state is not TrialState.FAIL:  # of which neither samplers nor pruners learn
            heapq.heappush(self._latest, number)
            self._recent.add(number)
            self._holds[number] += 1
            if len(self._latest) > self._latest_count:
                oldest = heapq.heappop(self._latest)
                self._recent.discard(oldest)
                self._release(oldest)
        feasible = all(v <= 0 for v in trial.constraints.values())
        if trial.state is TrialState.COMPLETE and feasible and self._best_count:
            for heap, direction, value in zip(
                self._best, self._directions, trial.values, strict=True
            ):
                sign = 1 if direction is StudyDirection.MAXIMIZE else -1
                heapq.heappush(heap, (sign * value, -number))
                self._holds[number] += 1
                if len(heap) > self._best_count:
                    self._release(-heapq.heappop(heap)[1])
        self._release(number)

    def _release(self, number: int) -> None:
        """Drop a reason to keep a trial; forget the trial with the last one."""
        self._holds[number] -= 1
        if not self._holds[number]:
            del self._holds[number], self._trials[number]

    @contextmanager
    def pruning(self) -> Iterator[None]:
        """Hide the best trials of the past within `with`: a median would be one of good trials."""
        self._pruning = True
        try:
            yield
        finally:
            self._pruning = False

    # ------------------------------------------------------------------------- Optuna's interface

    def create_new_study(
        self, directions: Sequence[StudyDirection], study_name: str | None = None
    ) -> int:
        self._directions = list(directions)
        self._best = [[] for _ in directions]
        self._name = study_name or "study"
        return 0

    def delete_study(self, study_id: int) -> None:
        self._trials.clear()

    def set_study_user_attr(self, study_id: int, key: str, value: Any) -> None:
        raise NotImplementedError("a memory has no user attributes of its study")

    def set_study_system_attr(self, study_id: int, key: str, value: Any) -> None:
        """Set an attribute; parents of a generation are kept until the second one after it."""
        if PARENTS not in key:
            self._attributes[key] = value
            return
        self._attributes[key] = value = [number for number in value if number in self._trials]
        self._holds.update(value)
        generations = [k for k in self._attributes if PARENTS in k]
        for old in generations[:-2]:
            for number in self._attributes.pop(old):
                self._release(number)

    def get_study_id_from_name(self, study_name: str) -> int:
        return 0

    def get_study_name_from_id(self, study_id: int) -> str:
        return self._name

    def get_study_directions(self, study_id: int) -> list[StudyDirection]:
        return self._directions

    def get_study_user_attrs(self, study_id: int) -> dict[str, Any]:
        return {}

    def get_study_system_attrs(self, study_id: int) -> dict[str, Any]:
        return self._attributes

    def get_all_studies(self) -> list[FrozenStudy]:
        return [FrozenStudy(self._name, None, {}, {}, 0, directions=self._directions)]

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        number = self._next
        self._next += 1
        self._trials[number] = template_trial or FrozenTrial(
            trial_id=number,
            number=number,
            state=TrialState.RUNNING,
            value=None,
            params={},
            distributions={},
            user_attrs={},
            system_attrs={},
            intermediate_values={},
            datetime_start=datetime.now(),
            datetime_complete=None,
        )
        self._trials[number].number = self._trials[number]._trial_id = number
        return number

    def get_trial_id_from_study_id_trial_number(self, study_id: int, trial_number: int) -> int:
        return self.get_trial(trial_number)._trial_id

    def set_trial_param(
        self, trial_id: int, name: str, value_internal: float, distribution: BaseDistribution
    ) -> None:
        trial = self._running(trial_id)
        trial.params = {**trial.params, name: distribution.to_external_repr(value_internal)}
        trial.distributions = {**trial.distributions, name: distribution}

    def set_trial_state_values(
        self, trial_id: int, state: TrialState, values: Sequence[float] | None = None
    ) -> bool:
        trial = self._running(trial_id)
        trial.state = state
        if values is not None:
            trial.values = values
        if state.is_finished():
            trial.datetime_complete = datetime.now()
        return True

    def set_trial_intermediate_value(self, trial_id: int, step: int, value: float) -> None:
        trial = self._running(trial_id)
        trial.intermediate_values = {**trial.intermediate_values, step: value}

    def set_trial_user_attr(self, trial_id: int, key: str, value: Any) -> None:
        trial = self._running(trial_id)
        trial.user_attrs = {**trial.user_attrs, key: value}

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        trial = self._running(trial_id)
        trial.system_attrs = {**trial.system_attrs, key: value}

    def get_trial(self, trial_id: int) -> FrozenTrial:
        return self._trials[trial_id]

    def get_all_trials(
        self,
        study_id: int,
        deepcopy: bool = True,
        states: Container[TrialState] | None = None,
    ) -> list[FrozenTrial]:
        """Return the trials that are kept.

        A later change replaces a trial, and leaves the object that was returned here as it is.
        """
        return [
            t
            for number, t in self._trials.items()
            if (states is None or t.state in states)
            and not (self._pruning and t.state.is_finished() and number not in self._recent)
        ]

    def get_best_trial(self, study_id: int) -> FrozenTrial:
        pruning, self._pruning = self._pruning, False
        try:
            return super().get_best_trial(study_id)
        finally:
            self._pruning = pruning

    def _running(self, trial_id: int) -> FrozenTrial:
        """Put a copy in the place of a running trial, and return the copy to be changed."""
        self.check_trial_is_updatable(trial_id, self._trials[trial_id].state)
        trial = self._trials[trial_id] = copy.copy(self._trials[trial_id])
        return trial
