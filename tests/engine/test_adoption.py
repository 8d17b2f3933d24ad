"""Taking over another run's state: the model goes on as if it had been there all along, and the ledger says so."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from hpo_cli.engine import checkpoints
from hpo_cli.engine.adoption import adopt
from hpo_cli.engine.course import chart
from hpo_cli.engine.knobs import read_knobs
from hpo_cli.engine.past import past_state
from hpo_cli.errors import ConfigError, UserError
from hpo_cli.record import ledger
from hpo_cli.record.line import living_line
from hpo_cli.record.metrics import read_metrics
from hpo_cli.steer.current import current_setting
from hpo_cli.steer.lineage import lineage
from hpo_cli.steer.shapes import new_id
from hpo_cli.steer.targets import Goal, resolve_target
from hpo_cli.sweep.adopting import link_newest
from hpo_cli.sweep.executors.contract import Adoption
from hpo_cli.validate import plan_from_config
from tests.command_line import fast_yaml
from tests.engine.plans import SMALL, plan
from tests.engine.runs import Ran, poll_always, resumed

if TYPE_CHECKING:
    from hpo_cli.plan import RunPlan

WORDS = (
    *("optimizer=momentum", "model.norm=batch", "regularization.dropout=0.2", "regularization.ema=0.9"),
    *("schedule=plateau", "regularization.early_stopping=9", *SMALL, "epochs=5", "checkpoint.keep_last=3"),
)
"""Twenty steps in five epochs, with all that has a memory."""
BAD = ("lr=1e-5", "regularization.dropout=0.2", "seed=0")
GOOD = ("lr=0.05", "regularization.dropout=0.1", "seed=0")
RUNG = 8
"""The step at which the members of the population wait."""
END = 20


def member(
    place: Path, *, lr: float, dropout: float = 0.2, seed: int = 0, nudges: dict[int, float] | None = None
) -> Ran:
    """A run that waits at the end of its second epoch."""
    return waiting(planned(f"lr={lr}", f"regularization.dropout={dropout}", f"seed={seed}"), place, nudges=nudges)


def waiting(plan: RunPlan, place: Path, *, nudges: dict[int, float] | None = None) -> Ran:
    """A run of a plan that has trained up to the rung."""
    new = Ran(plan, place)
    stop_at(new.folder, 2)
    ran = new.again()
    for step, value in (nudges or {}).items():
        ran.nudge(step, lr=value)
    ran.go()
    assert ran.result["steps"] == RUNG
    return ran


def planned(*words: str) -> RunPlan:
    with fast_yaml():
        return plan(*WORDS, *words)


def stop_at(folder: Path, epoch: int) -> None:
    """As a worker orders it."""
    ledger.append(
        folder, "scheduled", step=0, id=new_id(), due={"epoch": epoch}, do="stop", changes={}, who="sweep", why=""
    )


def exploit(target: Ran, source: Ran, **changes: Any) -> dict[str, Any]:
    """What the driver and then a worker do."""
    file = link_newest(source.folder, target.folder)
    assert file is not None
    wanted = {key.replace("__", "."): value for key, value in changes.items()}
    return adopt(
        target.folder, Adoption(file, str(source.folder), wanted, "it is better"), check=plan_from_config
    )  # fmt: skip


@pytest.fixture(scope="module")
def population(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bad run, `bad`, and a good one with a nudge behind it, `good`, both at the rung."""
    with pytest.MonkeyPatch.context() as patch:
        poll_always(patch)
        place = tmp_path_factory.mktemp("population")
        bad, good = member(place, lr=1e-5), member(place, lr=0.05, dropout=0.1, nudges={5: 0.04})
        bad.folder.rename(place / "bad")
        good.folder.rename(place / "good")
    return place


@pytest.fixture
def pair(population: Path, tmp_path: Path) -> tuple[Ran, Ran]:
    """Copies of both, for one test alone."""
    home = tmp_path / "outputs" / "members"
    for name in ("bad", "good"):
        shutil.copytree(population / name, home / name)
    return (
        Ran(planned(*BAD), tmp_path, folder=home / "bad"),
        Ran(planned(*GOOD), tmp_path, folder=home / "good"),
    )


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """The oracle: one run that nobody stopped, nudged at the steps at which the lineage was."""
    with pytest.MonkeyPatch.context() as patch:
        poll_always(patch)
        ran = Ran(planned(*GOOD), tmp_path_factory.mktemp("straight"))
        ran.nudge(5, lr=0.04)
        ran.nudge(RUNG, lr=0.032, optimizer__momentum=0.8)
        ran.go()
    return ran


def test_it_ends_with_the_bits_of_one_run_that_was_nudged_there(pair: tuple[Ran, Ran], straight: Ran) -> None:
    bad, good = pair
    exploit(bad, good, lr=0.032, optimizer__momentum=0.8)
    again = bad.again()
    again.go()
    assert again.sha == straight.sha
    assert again.rows == straight.rows
    assert again.result["best"] == straight.result["best"]


def test_without_the_exploit_it_ends_with_others(pair: tuple[Ran, Ran], straight: Ran) -> None:
    """The negative control."""
    again = pair[0].again()
    again.go()
    assert again.sha != straight.sha


def test_killed_after_it_and_resumed_it_ends_the_same(
    pair: tuple[Ran, Ran], straight: Ran, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    poll_always(monkeypatch)
    bad, good = pair
    exploit(bad, good, lr=0.032, optimizer__momentum=0.8)
    again = bad.again()
    for step in (RUNG + 1, RUNG + 6):
        again.kill(step, to=tmp_path / "outputs" / "members" / f"killed-{step}")
    again.go()
    for step in (RUNG + 1, RUNG + 6):
        ran = resumed(tmp_path / "outputs" / "members" / f"killed-{step}", of=bad)
        assert ran.sha == straight.sha
        assert ran.rows == straight.rows


def test_everything_but_plan_and_seed_comes_from_the_other(pair: tuple[Ran, Ran]) -> None:
    bad, good = pair
    there = good.saved("step-*.pt")
    event = exploit(bad, good)
    here = checkpoints.load(bad.folder / chart_file(bad.folder))
    unlike = {key for key in there if not equal(there[key], here.get(key))}
    assert unlike == {"plan_id", "line", "recorded_bytes"}
    assert set(here) == set(there)
    assert here["plan_id"] == bad.plan.plan_id
    assert here["line"] == [event["id"]]


def chart_file(folder: Path) -> str:
    file = chart(folder, warn=pytest.fail).file
    assert file is not None
    return file


def equal(one: Any, other: Any) -> bool:
    from hpo_cli.engine.differences import differences

    return not list(differences({"model": {}, "x": one}, {"model": {}, "x": other}))


def test_the_ledger_says_it_in_one_line(pair: tuple[Ran, Ran]) -> None:
    bad, good = pair
    event = exploit(bad, good, lr=0.032)
    assert (event["event"], event["step"], event["to"], event["line"]) == ("rolled_back", RUNG, RUNG, [])
    assert (event["who"], event["why"]) == ("sweep", "it is better")
    assert event["knobs"] == {
        "lr": {"old": 1e-5, "new": 0.032},
        "regularization.dropout": {"old": 0.2, "new": 0.1},
    }
    adopted = event["adopted"]
    assert (adopted["run"], adopted["step"], adopted["plan_id"]) == ("good", RUNG, good.plan.plan_id)
    assert adopted["changes"] == {"lr": {"old": 0.04, "new": 0.032}}
    assert adopted["history"] == [
        {"step": 0, "knobs": {"lr": {"old": 1e-5, "new": 0.05}, "regularization.dropout": {"old": 0.2, "new": 0.1}}},
        {"step": 5, "knobs": {"lr": {"old": 0.05, "new": 0.04}}},
    ]
    assert json.loads(json.dumps(event)) == event


def test_the_live_system_and_every_reader_have_the_new_values(pair: tuple[Ran, Ran]) -> None:
    bad, good = pair
    exploit(bad, good, lr=0.032, optimizer__momentum=0.8, regularization__weight_decay=0.01)
    setting = current_setting(bad.folder)
    again = bad.again()
    values = {}
    again.do(RUNG + 4, lambda: values.update(read_knobs(again.training.system)))
    again.go()
    wanted = {"lr": 0.032, "optimizer.momentum": 0.8, "regularization.weight_decay": 0.01}
    assert {key: values[key] for key in wanted} == wanted
    assert {group["momentum"] for group in again.training.system.optimizer.param_groups} == {0.8}
    assert (setting.config["lr"], setting.config["optimizer"]["lr"]) == (0.032, 0.032)
    assert setting.config["regularization"]["dropout"] == 0.1
    assert {row["lr"] for row in again.rows if row["step"] > RUNG} == {0.032}


def test_rows_and_best_are_those_of_the_model_that_goes_on(pair: tuple[Ran, Ran]) -> None:
    bad, good = pair
    own = bad.rows
    exploit(bad, good)
    assert bad.rows == good.rows != own
    content = (bad.folder / "metrics.jsonl").read_text()
    assert all(json.dumps(row) in content or str(row["train/loss"]) in content for row in own)
    assert '"rolled_back"' in content
    assert sorted(path.name for path in bad.files("best-*.pt")) == sorted(
        path.name for path in good.files("best-*.pt")
    )  # fmt: skip
    again = bad.again()
    again.go()
    assert read_metrics(bad.folder / "metrics.jsonl")[: len(good.rows)] == good.rows


def test_the_own_past_is_put_by(pair: tuple[Ran, Ran]) -> None:
    bad, good = pair
    old = {path.name: checkpoints.file_sha256(path) for path in bad.files("step-*.pt")}
    exploit(bad, good)
    left = {path.name: checkpoints.file_sha256(path) for path in bad.files("abandoned-*/step-*.pt")}
    assert left == old
    assert len(bad.files("step-*.pt")) == 1
    assert not bad.files("adopted-*")
    assert not (bad.folder / "result.json").exists()
    assert (bad.folder / f"result-{RUNG:08d}.json").exists()


def test_doing_it_again_changes_nothing(pair: tuple[Ran, Ran]) -> None:
    bad, good = pair
    file = link_newest(good.folder, bad.folder)
    assert file is not None
    wanted = Adoption(file, str(good.folder), {"lr": 0.032}, "")
    first = adopt(bad.folder, wanted)
    before = {path: path.read_bytes() for path in bad.folder.rglob("*") if path.is_file()}
    assert adopt(bad.folder, wanted) == first
    assert {path: path.read_bytes() for path in bad.folder.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("moment", ["save", "append", "append-2", "retire_end", "move_abandoned", "file_sha256"])
def test_killed_in_the_middle_and_called_again_it_comes_out_the_same(
    pair: tuple[Ran, Ran], straight: Ran, moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hpo_cli.engine import adoption

    bad, good = pair
    file = link_newest(good.folder, bad.folder)
    assert file is not None
    wanted = Adoption(file, str(good.folder), {"lr": 0.032, "optimizer.momentum": 0.8}, "")
    name, _, number = moment.partition("-")
    where: Any = {"append": ledger, "retire_end": adoption}.get(name, checkpoints)
    real, calls = getattr(where, name), []

    def killed(*args: Any, **more: Any) -> Any:
        calls.append(1)
        if len(calls) == int(number or 1):
            raise KeyboardInterrupt
        return real(*args, **more)

    with monkeypatch.context() as patch:
        patch.setattr(where, name, killed)
        with pytest.raises(KeyboardInterrupt):
            adopt(bad.folder, wanted)
    adopt(bad.folder, wanted)
    again = bad.again()
    again.go()
    assert again.sha == straight.sha
    assert again.rows == straight.rows
    assert sum("adopted" in event for event in again.events) == 1


@pytest.mark.parametrize("moment", ["save", "append", "append-2"])
def test_killed_before_the_event_the_run_is_where_it_was(
    pair: tuple[Ran, Ran], moment: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad, good = pair
    untouched = tmp_path / "outputs" / "members" / "untouched"
    shutil.copytree(bad.folder, untouched)
    name, _, number = moment.partition("-")
    where: Any = {"append": ledger}.get(name, checkpoints)
    real, calls = getattr(where, name), []

    def killed(*args: Any, **more: Any) -> Any:
        calls.append(1)
        if len(calls) == int(number or 1):
            raise KeyboardInterrupt
        return real(*args, **more)

    with monkeypatch.context() as patch:
        patch.setattr(where, name, killed)
        with pytest.raises(KeyboardInterrupt):
            exploit(bad, good)
    ran, other = bad.again(), resumed(untouched, of=bad)
    ran.go()
    assert ran.sha == other.sha
    assert ran.rows == other.rows


def test_a_run_that_took_over_can_be_taken_over(pair: tuple[Ran, Ran], tmp_path: Path) -> None:
    bad, good = pair
    exploit(bad, good, lr=0.032)
    stop_at(bad.folder, 3)
    bad.again().go()
    third = member(tmp_path, lr=0.3)
    event = exploit(third, bad, lr=0.02)
    assert [(met["step"], met["knobs"].get("lr", {}).get("new")) for met in event["adopted"]["history"]] == [
        (0, 0.05), (5, 0.04), (RUNG, 0.032),
    ]  # fmt: skip
    assert event["to"] == 12
    assert lineage(living_line(third.events))[-1] == {"step": 12, "knobs": {"lr": {"old": 0.032, "new": 0.02}}}
    again = third.again()
    again.go()
    assert again.result["steps"] == END


def test_seeds_may_differ_and_the_order_of_the_data_is_the_own_one(pair: tuple[Ran, Ran], tmp_path: Path) -> None:
    _, good = pair
    other = member(tmp_path, lr=1e-5, seed=7)
    event = exploit(other, good)
    assert event["adopted"]["seed"] == 0
    rows, again, there = good.rows, other.again(), good.again()
    again.go()
    there.go()
    assert again.rows[: len(rows)] == rows
    assert again.sha != there.sha


def test_a_plan_of_nudges_that_the_other_has_met_is_not_met_again(tmp_path: Path) -> None:
    nudges = "schedule.nudges=[{at: 0.2, lr: 0.03}, {at: 0.8, lr: 0.01}]"
    runs = [waiting(planned(lr, nudges), tmp_path) for lr in ("lr=1e-5", "lr=0.05")]
    exploit(runs[0], runs[1], lr=0.07)
    again = runs[0].again()
    again.go()
    lrs = {row["step"]: row["lr"] for row in again.rows}
    assert (lrs[4], lrs[5], lrs[RUNG + 1], lrs[16], lrs[17]) == (0.05, 0.03, 0.07, 0.07, 0.01)


def test_runs_that_differ_in_more_than_knobs_are_refused(pair: tuple[Ran, Ran], tmp_path: Path) -> None:
    wide = waiting(planned("lr=0.1", "model.width=8"), tmp_path)
    before = wide.events
    with pytest.raises(UserError, match=r"model\.width \(16 there, 8 here\)"):
        exploit(wide, pair[1])
    assert wide.events == before


def test_values_that_cannot_be_are_refused_before_anything_is_written(pair: tuple[Ran, Ran]) -> None:
    bad, good = pair
    before = (bad.events, bad.rows)
    with pytest.raises(ConfigError, match="momentum"):
        exploit(bad, good, optimizer__momentum=1.5)
    assert (bad.events, bad.rows) == before


def test_the_other_may_prune_its_state_after_the_decision(pair: tuple[Ran, Ran], straight: Ran) -> None:
    bad, good = pair
    file = link_newest(good.folder, bad.folder)
    assert file is not None
    for path in good.files("*.pt"):
        path.unlink()
    adopt(bad.folder, Adoption(file, str(good.folder), {"lr": 0.032, "optimizer.momentum": 0.8}))
    again = bad.again()
    again.go()
    assert again.sha == straight.sha


def test_no_state_from_before_is_taken_when_the_adopted_one_is_gone(pair: tuple[Ran, Ran]) -> None:
    bad, good = pair
    exploit(bad, good)
    (bad.folder / chart_file(bad.folder)).unlink()
    for path in bad.files("abandoned-*/*.pt"):
        path.rename(bad.folder / "checkpoints" / path.name)
    with pytest.raises(UserError, match="took over the state of good at step 8, and no checkpoint since then"):
        chart(bad.folder, warn=pytest.fail)


def test_going_back_behind_it_is_refused_and_to_it_works(
    pair: tuple[Ran, Ran], straight: Ran, monkeypatch: pytest.MonkeyPatch
) -> None:
    poll_always(monkeypatch)
    bad, good = pair
    exploit(bad, good, lr=0.032, optimizer__momentum=0.8)
    again = bad.again()
    again.send(RUNG + 3, "rollback", to={"step": RUNG - 2})
    again.send(RUNG + 6, "rollback", to={"step": RUNG})
    again.go()
    assert again.answer(0)["error"] == (
        "step=6: the run took over the state of good at step 8; give a later place, or branch good"
    )
    assert again.answer(1)["ok"]
    assert again.told("rolled_back")[-1]["line"] == [event["id"] for event in again.told("rolled_back")[:1]]
    assert again.sha == straight.sha
    assert again.rows == straight.rows


def test_a_step_after_it_can_be_branched_and_one_before_cannot(pair: tuple[Ran, Ran]) -> None:
    bad, good = pair
    exploit(bad, good, lr=0.032)
    again = bad.again()
    again.go()
    line = living_line(again.events)
    goal = resolve_target({"step": RUNG + 3}, line=line, rows=again.rows, position_step=END, objective=None)
    assert past_state(again.folder, again.plan, goal)["position"]["step"] == RUNG + 3
    with pytest.raises(UserError, match="took over the state of good"):
        resolve_target({"step": RUNG - 1}, line=line, rows=again.rows, position_step=END, objective=None)
    with pytest.raises(UserError, match="took over the state of good"):
        past_state(again.folder, again.plan, Goal(RUNG - 1, goal.line_ids))


def test_a_rule_goes_back_no_further_than_it(pair: tuple[Ran, Ran]) -> None:
    bad, good = pair
    exploit(bad, good)
    again = bad.again()
    again.go()
    steering = again.training._steering
    assert steering is not None
    assert steering._standing.floor_step == RUNG
