"""The mirror in Optuna's storages: what a dashboard would find there."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.storages import GrpcStorageProxy, JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState

from hpo_cli.sweep.fold import SweepState
from hpo_cli.sweep.space import Condition, Dimension, Space
from hpo_cli.sweep.state import Event, run_name
from hpo_cli.sweep.storage import JOURNAL, Storage
from tests.sweep.settings import sweep_settings_json

SGD = (Condition("optimizer", ("sgd",)),)
SPACE = Space(
    (
        Dimension("optimizer", ("optimizer",), choices=("sgd", "adam")),
        Dimension("lr", ("lr",), low=1e-4, high=1.0, scale="log"),
        Dimension("momentum", ("optimizer.momentum",), low=0.0, high=0.9, when=SGD),
        Dimension("pair", ("batch_size", "epochs"), choices=((16, 1), (32, 2))),
    )
)


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    before = optuna.logging.get_verbosity()
    yield
    optuna.logging.set_verbosity(before)


def _state(folder: Path, storage: str | None = None, space: Space = SPACE, aims: Any = None) -> SweepState:
    state = SweepState(folder)
    state.replay([{
        "event": "began", "id": folder.name, "name": "toy", "aims": aims or [{"name": "val/loss", "mode": "min"}],
        "inner": [{}], "epochs": 3, "size": None, "space": space.to_json(),
        "settings": sweep_settings_json(storage=storage),
    }])  # fmt: skip
    return state


def _begin(state: SweepState, number: int, **setting: Any) -> list[Event]:
    whole = {"optimizer": "adam", "lr": 0.01 * number, "batch_size": 16, "epochs": 1} | setting
    events = [
        {"event": "proposed", "trial": number, "setting": whole, "plan_id": f"p{number}"},
        {"event": "started", "trial": number, "run": 0, "folder": run_name(state.id, number, 0, 1)},
    ]
    state.replay(events)
    return events


def _end(state: SweepState, number: int, status: str, values: Any, reason: str = "") -> list[Event]:
    reports = [] if values is None else [[epoch, [v + 1 / epoch for v in values]] for epoch in (1, 2, 3)]
    event = {
        "event": "ended", "trial": number, "run": 0, "status": status, "epoch": 3, "reports": reports,
        "values": values, "seconds": 1.5, "reason": reason,
    }  # fmt: skip
    state.replay([event])
    return [event]


def _sweep(storage: Storage, state: SweepState, numbers: range) -> None:
    for number in numbers:
        extra = {"optimizer": "sgd", "optimizer.momentum": 0.01 * number} if number % 2 else {}
        events = _begin(state, number, **extra)
        storage.heard(events, state)
        storage.heard(_end(state, number, "finished", [0.1 * number]), state)


def _journal(folder: Path) -> optuna.Study:
    backend = JournalStorage(JournalFileBackend(str(folder / JOURNAL)))
    return optuna.load_study(study_name=f"toy-{folder.name}", storage=backend)


def _by_number(study: optuna.Study) -> dict[int, FrozenTrial]:
    found = {trial.user_attrs["trial"]: trial for trial in study.trials}
    assert len(found) == len(study.trials)
    return found


def test_a_journal_holds_every_trial_with_its_values_reports_and_state(tmp_path: Path) -> None:
    state = _state(tmp_path)
    storage = Storage(state)
    _sweep(storage, state, range(1, 4))
    for number, status, values, reason in (
        (4, "stopped", [0.9], "worse than the median"),
        (5, "failed", None, "a NaN loss"),
        (6, "paused", [0.5], ""),
        (7, "finished", [None], ""),
    ):
        storage.heard(_begin(state, number), state)
        values_ = values if values != [None] else None
        storage.heard(_end(state, number, status, values_, reason), state)
    storage.close()
    assert storage.failure is None
    study = _journal(tmp_path)
    found = _by_number(study)
    states = {number: trial.state for number, trial in found.items()}
    assert states == {
        1: TrialState.COMPLETE, 2: TrialState.COMPLETE, 3: TrialState.COMPLETE, 4: TrialState.PRUNED,
        5: TrialState.FAIL, 6: TrialState.RUNNING, 7: TrialState.FAIL,
    }  # fmt: skip
    assert found[2].values == [0.2]
    assert found[2].intermediate_values == {1: 1.2, 2: 0.7, 3: pytest.approx(0.2 + 1 / 3)}
    assert found[4].user_attrs["reason"] == "worse than the median"
    assert found[5].user_attrs["reason"] == "a NaN loss"
    assert found[5].user_attrs["run"] == f"{tmp_path.name}-5"
    assert study.best_trial.user_attrs["trial"] == 1
    assert study.metric_names == ["val/loss"]


def test_only_active_dimensions_are_parameters_and_they_keep_their_scale(tmp_path: Path) -> None:
    state = _state(tmp_path)
    storage = Storage(state)
    _sweep(storage, state, range(1, 3))
    storage.close()
    found = _by_number(_journal(tmp_path))
    assert found[1].params == {"optimizer": "sgd", "lr": 0.01, "momentum": 0.01, "pair": "[16, 1]"}
    assert found[2].params == {"optimizer": "adam", "lr": 0.02, "pair": "[16, 1]"}
    assert found[1].distributions["lr"] == optuna.distributions.FloatDistribution(1e-4, 1.0, log=True)
    assert found[1].user_attrs["setting"]["epochs"] == 1


def test_a_promoted_trial_goes_on_as_the_same_one(tmp_path: Path) -> None:
    state = _state(tmp_path)
    storage = Storage(state)
    storage.heard(_begin(state, 1), state)
    storage.heard(_end(state, 1, "paused", [0.5]), state)
    storage.heard(_end(state, 1, "finished", [0.25]), state)
    storage.close()
    (trial,) = _journal(tmp_path).trials
    assert trial.state == TrialState.COMPLETE
    assert trial.values == [0.25]


def test_importances_are_computed_from_it(tmp_path: Path) -> None:
    state = _state(tmp_path)
    storage = Storage(state)
    for number in range(1, 41):
        lr, pair = 10 ** (-4 + 4 * (number * 0.37 % 1)), ((16, 1), (32, 2))[number % 2]
        events = _begin(state, number, lr=lr, batch_size=pair[0], epochs=pair[1])
        storage.heard([*events, *_end(state, number, "finished", [abs(lr - 0.01)])], state)
    storage.close()
    study = _journal(tmp_path)
    for evaluator in (
        optuna.importance.PedAnovaImportanceEvaluator(),
        optuna.importance.FanovaImportanceEvaluator(seed=0),
    ):
        found = optuna.importance.get_param_importances(study, evaluator=evaluator)
        assert max(found, key=lambda name: found[name]) == "lr"


def test_a_resumed_sweep_adds_what_is_missing_and_nothing_twice(tmp_path: Path) -> None:
    state = _state(tmp_path)
    first = Storage(state)
    _sweep(first, state, range(1, 4))
    first.close()
    _begin(state, 4)
    _end(state, 4, "finished", [0.0])  # its process was killed before the mirror had it
    again = Storage(state)
    again.heard(_begin(state, 5), state)
    again.close()
    found = _by_number(_journal(tmp_path))
    assert sorted(found) == [1, 2, 3, 4, 5]
    assert found[4].state == TrialState.COMPLETE
    assert found[5].state == TrialState.RUNNING


def test_two_machines_that_write_the_same_trials_write_each_once(tmp_path: Path) -> None:
    state = _state(tmp_path)
    state.replay([{"event": "joined", "who": {"pid": pid}, "workers": 1} for pid in (1, 2)])
    machines = [Storage(state), Storage(state)]
    for number in range(1, 31):
        events = _begin(state, number)
        for storage in machines:
            storage.heard(events, state)
        for storage in machines:
            storage.heard(_end(state, number, "finished", [1.0]), state)
    for storage in machines:
        storage.close()
        assert storage.failure is None
    found = _by_number(_journal(tmp_path))
    assert sorted(found) == list(range(1, 31))
    assert {trial.state for trial in found.values()} == {TrialState.COMPLETE}


def test_an_edited_space_does_not_stop_the_mirror(tmp_path: Path) -> None:
    state = _state(tmp_path)
    storage = Storage(state)
    _sweep(storage, state, range(1, 3))
    storage.close()
    state.space = Space((Dimension("optimizer", ("optimizer",), choices=("adam", "lamb")), SPACE["lr"]))
    again = Storage(state)
    again.heard(_begin(state, 3), state)
    again.heard(_begin(state, 4, optimizer="lamb"), state)
    again.close()
    assert again.failure is None
    found = _by_number(_journal(tmp_path))
    assert found[3].params["optimizer"] == "adam"
    assert "optimizer" not in found[4].params
    assert found[4].user_attrs["setting"]["optimizer"] == "lamb"


def test_several_aims_are_several_directions(tmp_path: Path) -> None:
    state = _state(tmp_path, aims=[{"name": "val/accuracy", "mode": "max"}, {"name": "params", "mode": "min"}])
    storage = Storage(state)
    storage.heard([*_begin(state, 1), *_end(state, 1, "finished", [0.9, 1000.0])], state)
    storage.heard([*_begin(state, 2), *_end(state, 2, "finished", [0.8, 2000.0])], state)
    storage.close()
    study = _journal(tmp_path)
    assert [direction.name for direction in study.directions] == ["MAXIMIZE", "MINIMIZE"]
    assert [trial.user_attrs["trial"] for trial in study.best_trials] == [1]


def test_sqlite_by_its_url(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/sweep.db"
    state = _state(tmp_path, url)
    storage = Storage(state)
    _sweep(storage, state, range(1, 4))
    storage.close()
    assert storage.failure is None
    assert sorted(_by_number(optuna.load_study(study_name=storage.study_name, storage=url))) == [1, 2, 3]
    assert not (tmp_path / JOURNAL).exists()


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_a_grpc_server_by_its_url(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    backend = JournalStorage(JournalFileBackend(str(tmp_path / "served.journal")))
    arguments = {"host": "localhost", "port": port}
    threading.Thread(
        target=optuna.storages.run_grpc_proxy_server, args=(backend,), kwargs=arguments, daemon=True
    ).start()
    GrpcStorageProxy(host="localhost", port=port).wait_server_ready(timeout=30)
    state = _state(tmp_path, f"grpc://localhost:{port}")
    storage = Storage(state)
    _sweep(storage, state, range(1, 4))
    storage.close()
    assert storage.failure is None
    assert sorted(_by_number(optuna.load_study(study_name=storage.study_name, storage=backend))) == [1, 2, 3]


def test_running_trials_show_their_reports_while_they_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hpo_cli.sweep.storage.LIVE_S", 0.05)
    state = _state(tmp_path)
    storage = Storage(state)
    storage.heard(_begin(state, 1), state)
    state.trials[0].runs[0].live = {1: (0.7,)}
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if (tmp_path / JOURNAL).exists() and b"0.7" in (tmp_path / JOURNAL).read_bytes():
            break
        time.sleep(0.05)
    storage.close()
    (trial,) = _journal(tmp_path).trials
    assert trial.intermediate_values == {1: 0.7}
    assert trial.state == TrialState.RUNNING


def test_a_storage_that_cannot_be_written_is_told_of_once_and_disturbs_nothing(tmp_path: Path) -> None:
    said: list[str] = []
    state = _state(tmp_path, "sqlite:////no/such/folder/sweep.db")
    storage = Storage(state, say=said.append)
    _sweep(storage, state, range(1, 20))
    storage.close()
    storage.heard(_begin(state, 20), state)
    assert len(said) == 1
    assert said[0].startswith("sweep.storage=sqlite:////no/such/folder/sweep.db: ")
    assert "\n" not in said[0]


def test_none_writes_nothing(tmp_path: Path) -> None:
    state = _state(tmp_path, "none")
    storage = Storage(state)
    _sweep(storage, state, range(1, 4))
    storage.close()
    assert list(tmp_path.iterdir()) == []


def test_telling_it_takes_no_time_even_where_writing_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held = threading.Event()
    monkeypatch.setattr("hpo_cli.sweep.mirror.Mirror.write", lambda *_: held.wait(20))
    state = _state(tmp_path)
    storage = Storage(state)
    with ThreadPoolExecutor(1) as pool:
        pool.submit(_sweep, storage, state, range(1, 200)).result(timeout=10)
    held.set()
    storage.close()
    assert storage.failure is None
