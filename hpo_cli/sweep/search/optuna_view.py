# ruff: noqa: ARG002, FBT001, FBT002 -- the arguments are those of the class that it implements
"""Shows Optuna's samplers just the trials that they are to see, without copying them for every question."""

from __future__ import annotations

from collections.abc import Container, Sequence
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial


class View(BaseStorage):
    """A storage of one study that holds given trials, and the one that is being asked for.

    trials: numbered from 0 without gaps, in order.   num_aims: all of them are minimised.
    """

    def __init__(self, trials: Sequence[FrozenTrial], num_aims: int) -> None:
        self._trials = list(trials)
        self._directions = [StudyDirection.MINIMIZE] * num_aims

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        """The trial that is asked for."""
        number = len(self._trials)
        self._trials.append(numbered(create_trial(state=TrialState.RUNNING), number))
        return number

    def set_trial_param(
        self, trial_id: int, param_name: str, param_value_internal: float, distribution: BaseDistribution
    ) -> None:
        """A value of the trial that is asked for."""
        trial = self._trials[trial_id]
        trial.distributions = {**trial.distributions, param_name: distribution}
        trial.params = {**trial.params, param_name: distribution.to_external_repr(param_value_internal)}

    def get_trial(self, trial_id: int) -> FrozenTrial:
        """One trial, not copied."""
        return self._trials[trial_id]

    def get_all_trials(
        self,
        study_id: int,
        deepcopy: bool = True,
        states: Container[TrialState] | None = None,
    ) -> list[FrozenTrial]:
        """Those in some states, not copied."""
        return [trial for trial in self._trials if states is None or trial.state in states]

    def get_study_id_from_name(self, study_name: str) -> int:
        """The only one."""
        return 0

    def get_study_name_from_id(self, study_id: int) -> str:
        """The only one."""
        return "view"

    def get_study_directions(self, study_id: int) -> list[StudyDirection]:
        """Down, for every aim."""
        return self._directions

    def get_study_user_attrs(self, study_id: int) -> dict[str, Any]:
        """None."""
        return {}

    def get_study_system_attrs(self, study_id: int) -> dict[str, Any]:
        """None."""
        return {}

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        """What a sampler notes for other processes is not kept."""

    def set_trial_user_attr(self, trial_id: int, key: str, value: Any) -> None:
        """Not kept."""

    def set_study_user_attr(self, study_id: int, key: str, value: Any) -> None:
        """Not kept."""

    def set_study_system_attr(self, study_id: int, key: str, value: Any) -> None:
        """Not kept."""

    def create_new_study(self, directions: Sequence[StudyDirection], study_name: str | None = None) -> int:
        """There is one already."""
        return 0

    def delete_study(self, study_id: int) -> None:
        """Nothing to delete."""

    def get_all_studies(self) -> list[Any]:
        """Not asked for."""
        return []

    def set_trial_state_values(self, trial_id: int, state: TrialState, values: Sequence[float] | None = None) -> bool:
        """A question has no result."""
        return False

    def set_trial_intermediate_value(self, trial_id: int, step: int, intermediate_value: float) -> None:
        """A question has no result."""


def numbered(trial: FrozenTrial, number: int) -> FrozenTrial:
    """The trial as number `number` of its study."""
    trial.number = number
    trial._trial_id = number  # noqa: SLF001 -- create_trial leaves it at -1, and a storage sets it
    return trial
