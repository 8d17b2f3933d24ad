"""Writes trials into a storage of Optuna: each once, under its own number, with what it reported."""

from __future__ import annotations

import fcntl
import json
import math
import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
    check_distribution_compatibility,
)
from optuna.exceptions import ExperimentalWarning
from optuna.storages import BaseStorage, GrpcStorageProxy, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock, JournalRedisBackend
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from hpo_cli.sweep.dimension import Dimension
from hpo_cli.sweep.search.contract import Aim

if TYPE_CHECKING:
    from hpo_cli.sweep.storage import Row

NUMBER = "trial"
"""The user attribute that holds a trial's number in its sweep."""
_ENDS = {"finished": TrialState.COMPLETE, "stopped": TrialState.PRUNED, "failed": TrialState.FAIL}
_GRPC_PORT = 13000
LOCK = "optuna.lock"


@dataclass
class _Written:
    """What the storage has of a trial. id: its own for it."""

    id: int
    steps: set[int] = field(default_factory=set)
    attrs: dict[str, Any] = field(default_factory=dict)
    is_over: bool = False


class Mirror:
    """One study of a storage, which may hold trials of an earlier session of the sweep already."""

    def __init__(self, storage: BaseStorage, study_id: int, lock: Path) -> None:
        self.storage, self.study_id, self.lock = storage, study_id, lock
        self._written: dict[int, _Written] = {}
        self._distributions: dict[str, BaseDistribution] = {}
        self._look()

    @classmethod
    def opened(cls, url: str | None, folder: Path, aims: Sequence[Aim], name: str) -> Mirror:
        """The study of that name, made where there is none. Raises whatever the storage raises."""
        optuna.logging.set_verbosity(optuna.logging.WARNING)  # it tells of every study it makes
        warnings.filterwarnings("ignore", category=ExperimentalWarning)
        storage = open_storage(url, folder)
        directions = [StudyDirection.MAXIMIZE if aim.mode == "max" else StudyDirection.MINIMIZE for aim in aims]
        study = optuna.create_study(storage=storage, study_name=name, directions=directions, load_if_exists=True)
        study.set_metric_names([aim.name for aim in aims])
        return cls(storage, storage.get_study_id_from_name(name), folder / LOCK)

    def write(self, row: Row) -> None:
        """Bring the storage's trial up to date; one that is over there is left as it is."""
        if row.number not in self._written:
            with _locked(self.lock):
                if not row.is_alone:
                    self._look()
                if row.number not in self._written:
                    self._create(row)
                    return
        known = self._written[row.number]
        if not known.is_over:
            self._update(row, known)

    def _look(self) -> None:
        """Learn which trials the study has."""
        for trial in self.storage.get_all_trials(self.study_id, deepcopy=False):
            self._found(trial)

    def _found(self, trial: FrozenTrial) -> None:
        number = trial.user_attrs.get(NUMBER)
        for name, distribution in trial.distributions.items():
            self._distributions.setdefault(name, distribution)
        if isinstance(number, int) and number not in self._written:
            steps, is_over = set(trial.intermediate_values), trial.state.is_finished()
            self._written[number] = _Written(trial._trial_id, steps, dict(trial.user_attrs), is_over)  # noqa: SLF001

    def _create(self, row: Row) -> None:
        params, distributions = self._params(row)
        state, values = _end(row)
        reports = _reports(row)
        trial = create_trial(
            state=state,
            values=values,
            params=params,
            distributions=distributions,
            user_attrs=_attrs(row),
            intermediate_values=reports,
        )
        made = self.storage.create_new_trial(self.study_id, template_trial=trial)
        self._written[row.number] = _Written(made, set(reports), _attrs(row), state.is_finished())

    def _update(self, row: Row, known: _Written) -> None:
        for step, value in _reports(row).items():
            if step not in known.steps:
                self.storage.set_trial_intermediate_value(known.id, step, value)
                known.steps.add(step)
        for key, attr in _attrs(row).items():
            if known.attrs.get(key) != attr:
                self.storage.set_trial_user_attr(known.id, key, attr)
                known.attrs[key] = attr
        state, values = _end(row)
        if state.is_finished():
            self.storage.set_trial_state_values(known.id, state, values)
            known.is_over = True

    def _params(self, row: Row) -> tuple[dict[str, Any], dict[str, BaseDistribution]]:
        """The active dimensions alone. A list that has been edited keeps the values that the study knows it by."""
        params: dict[str, Any] = {}
        distributions: dict[str, BaseDistribution] = {}
        for name, value in row.space.point(row.setting).items():
            plain, distribution = _plain(value), _distribution(row.space[name], value)
            first = self._distributions.setdefault(name, distribution)
            if not _is_compatible(first, distribution):
                if not (isinstance(first, CategoricalDistribution) and plain in first.choices):
                    continue  # its setting tells
                distribution = first
            params[name], distributions[name] = plain, distribution
        return params, distributions


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold the lock that every process of the sweep takes before it makes a trial."""
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


class _KernelLock(JournalFileOpenLock):
    """The journal's lock, held in the kernel: it ends with its process. Optuna's own would outlive a kill for 30 s."""

    def __init__(self, place: str) -> None:
        super().__init__(place)
        self._place = f"{place}.lock"
        self._file: int | None = None

    def acquire(self) -> bool:
        """Wait until nobody else has it."""
        self._file = os.open(self._place, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        fcntl.flock(self._file, fcntl.LOCK_EX)
        return True

    def release(self) -> None:
        """Give it up."""
        if self._file is not None:
            os.close(self._file)
            self._file = None


def open_storage(url: str | None, folder: Path) -> BaseStorage:
    """The storage that `sweep.storage` names."""
    if url is None:
        from hpo_cli.sweep.storage import JOURNAL

        place = str(folder / JOURNAL)
        return JournalStorage(JournalFileBackend(place, lock_obj=_KernelLock(place)))
    parts = urlsplit(url)
    if parts.scheme == "grpc":
        return GrpcStorageProxy(host=parts.hostname or "localhost", port=parts.port or _GRPC_PORT)
    if parts.scheme.startswith("redis"):
        return JournalStorage(JournalRedisBackend(url))
    return RDBStorage(url)


def _end(row: Row) -> tuple[TrialState, list[float] | None]:
    """Optuna's state and values. A trial that waits at a rung is still running there."""
    state = _ENDS.get(row.status, TrialState.RUNNING)
    values = None if row.values is None else [value for value in row.values if value is not None]
    is_whole = values is not None and row.values is not None and len(values) == len(row.values)
    if state == TrialState.COMPLETE:
        return (state, values) if is_whole else (TrialState.FAIL, None)
    return state, values if state == TrialState.PRUNED and is_whole else None


def _reports(row: Row) -> dict[int, float]:
    """Epoch -> the first objective; Optuna knows one a step."""
    return {step: values[0] for step, values in row.reports.items() if values and values[0] is not None}


def _attrs(row: Row) -> dict[str, Any]:
    attrs = {
        NUMBER: row.number,
        "setting": dict(row.setting),
        "run": row.runs[0] if len(row.runs) == 1 else list(row.runs),
        "status": row.status,
        "seconds": round(row.seconds, 3),
    }
    return {**attrs, "reason": row.reason} if row.reason else attrs


def _distribution(one: Dimension, value: Any) -> BaseDistribution:
    """Readable in a dashboard: the values themselves, in their scale. A range that was narrowed still holds `value`."""
    if one.choices is not None:
        choices = tuple(map(_plain, one.choices))
        return CategoricalDistribution(choices if _plain(value) in choices else (*choices, _plain(value)))
    low, high = min(one.ends[0], value), max(one.ends[1], value)
    if one.kind == "int":
        return IntDistribution(int(low), int(high), log=one.scale == "log")
    return FloatDistribution(low, high, log=one.scale == "log")


def _plain(value: Any) -> Any:
    """A value that Optuna takes for a choice; any other is its text."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value if value is None or isinstance(value, bool | int | float | str) else json.dumps(value, default=str)


def _is_compatible(first: BaseDistribution, second: BaseDistribution) -> bool:
    try:
        check_distribution_compatibility(first, second)
    except ValueError:
        return False
    return True
