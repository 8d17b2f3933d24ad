"""What is asked of a sweep beside training: edits while it runs, what it reached, its winner raised, its limits."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.sweeps import SMALL, TINY, Swept, begin, hpo_run, ledger, rows, runs_of, sweep, weights, without
from tests.sweep.failing import OPTIONS

pytestmark = pytest.mark.slow
RATES = "lr=tag(log,interval(1e-3,1e-1))"


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Swept:
    """Four trials that all went well."""
    return sweep(*SMALL, RATES, "sweep.trials=4", "sweep.workers=2", cwd=tmp_path_factory.mktemp("well"))


def test_a_running_sweep_takes_edits(tmp_path: Path) -> None:
    words = (*SMALL, "optimizer=adam,sgd", RATES, "sweep.trials=6", "sweep.workers=1", "loss.slow=0.1")
    with begin(*words, cwd=tmp_path) as going:
        going.await_event("started", count=2)
        assert edit(going.folder, "pause") == 0
        held = len(going.of("started"))
        going.await_event("ended", count=held)
        assert edit(going.folder, "workers=2", "trials=8", "ban:optimizer=sgd") == 0
        assert len(going.of("started")) == held, "nothing begins while it is paused"
        assert edit(going.folder, "trials=nonsense") != 0
        assert edit(going.folder, "unpause") == 0
        done = going.wait()
    assert done.code == 0, done.said
    trials = done.state.trials
    assert len(trials) == 8
    later = [trial for trial in trials if trial.number > held]
    assert {trial.setting["optimizer"] for trial in later} == {"adam"}
    assert "optimizer.momentum" not in trials[-1].setting
    assert most_at_once(done, after=held) == 2
    assert done.state.edits[0]["changes"]


def edit(folder: Path, *words: str) -> int:
    return hpo_run("sweep", str(folder), *words, cwd=folder.parent).returncode


def most_at_once(swept: Swept, *, after: int) -> int:
    now = most = 0
    for event in swept.log:
        now += {"started": 1, "ended": -1}.get(event["event"], 0)
        most = max(most, now) if event.get("trial", 0) > after else most
    return most


def test_what_it_reached_is_told_by_every_command_alike(swept: Swept) -> None:
    best = json.loads((swept.folder / "best.json").read_text())
    told = json.loads(hpo_run("best", str(swept.folder), "--json", cwd=swept.folder.parent).stdout)
    assert (told["best"]["trial"], told["best"]["run"]) == (best["trial"], best["run"])
    values = {name: max(row["val/accuracy"] for row in rows(run)) for name, run in runs_of(swept.folder).items()}
    top = max(values.values())
    assert best["value"] == top
    assert best["trial"] == min(int(name[1:]) for name, value in values.items() if value == top), "of equals the first"


def test_ls_show_and_report_know_it(swept: Swept) -> None:
    place = swept.folder.parent
    page = hpo_run("show", str(swept.folder), cwd=place)
    assert (page.returncode, "4 finished" in page.stdout) == (0, True)
    listed = json.loads(hpo_run("ls", str(swept.folder), "--json", cwd=place).stdout)
    assert sorted(row["trial"] for row in listed) == [1, 2, 3, 4]
    report = hpo_run("report", str(swept.folder), cwd=place)
    assert report.returncode == 0, report.stderr
    (html,) = swept.folder.glob("*.html")
    assert "https://" not in html.read_text().replace("https://github.com", "")


def test_a_trial_is_the_run_that_its_words_make(swept: Swept) -> None:
    for trial in swept.state.trials[:2]:
        words = trial.proposed["words"] if trial.proposed else []
        place = swept.folder.parent
        plain = f"plain-{trial.number}"
        done = hpo_run("--config-dir", str(OPTIONS), *words, f"hydra.run.dir={plain}", cwd=place)
        assert done.returncode == 0, done.stderr
        assert weights(place / plain) == weights(runs_of(swept.folder)[f"-{trial.number}"]) != ""
        assert rows(place / plain) == rows(runs_of(swept.folder)[f"-{trial.number}"])


def test_the_winner_is_trained_on_and_many_leave_one_run(swept: Swept) -> None:
    place, best = swept.folder.parent, json.loads((swept.folder / "best.json").read_text())
    own = ("--allow=tests.sweep.failing",)
    branches = (
        "-m",
        *own,
        f"resume={swept.folder / best['run']}@best",
        "lr=0.01,0.001",
        "epochs=5",
        "sweep.dir=branches",
    )
    many = hpo_run(*branches, "sweep.workers=2", cwd=place)
    assert many.returncode == 0, many.stderr
    found = runs_of(place / "branches")
    assert list(found) == ["-1", "-2"]
    parents = [ledger(run, "started")[0]["parent"] for run in found.values()]
    assert [parent["run"] for parent in parents] == [best["run"]] * 2
    assert parents[0]["step"] == result(swept.folder / best["run"])["best"]["val/accuracy"]["step"]
    raised = hpo_run(*own, f"resume=best:{swept.folder}", "epochs=5", cwd=place)
    assert raised.returncode == 0, raised.stderr
    assert (result(swept.folder / best["run"])["epochs"], result(swept.folder / best["run"])["status"]) == (
        5,
        "finished",
    )
    assert [row["epoch"] for row in rows(swept.folder / best["run"])] == [1, 2, 3, 4, 5]


def result(run: Path) -> dict[str, Any]:
    return dict(json.loads((run / "result.json").read_text()))


def test_what_ran_out_of_memory_keeps_the_search_from_larger_batches(tmp_path: Path) -> None:
    words = ("loss.what=memory", "loss.at=1", "loss.least_batch=32", "lr=0.01", "batch_size=16,32,64,63,8")
    swept = sweep(*without("batch_size", TINY), *words, "sweep.workers=1", cwd=tmp_path)
    assert [(trial.setting["batch_size"], trial.status) for trial in swept.state.trials] == [
        (16, "finished"), (32, "failed"), (8, "finished"),
    ]  # fmt: skip
    assert swept.code == 1
    assert "out of memory" in swept.said
    (end,) = [event for event in swept.of("ended") if event["status"] == "failed"]
    assert (end["cause"], len(swept.of("started"))) == ("memory", 3), "the same again would not fit either"


def test_a_trial_that_hangs_is_ended_after_its_time_and_others_go_on(tmp_path: Path) -> None:
    words = ("loss.what=none,hang", "lr=0.01", "sweep.timeout_minutes=0.05", "sweep.retries=0", "sweep.workers=2")
    swept = sweep(*SMALL, *words, cwd=tmp_path)
    assert [trial.status for trial in swept.state.trials] == ["finished", "failed"]
    assert swept.code == 1
    assert "timeout" in swept.state.trial(2).why or "longer" in swept.state.trial(2).why, swept.state.trial(2).why
    seconds = swept.state.seconds_before
    assert 3 <= seconds < 60


@pytest.mark.parametrize("what", ["raise", "hang", "kill"])
def test_data_that_cannot_be_read_fail_their_trial_alone(what: str, tmp_path: Path) -> None:
    words = ("data=failing", f"data.what=none,{what}", "lr=0.01", "sweep.timeout_minutes=0.05", "sweep.retries=1")
    swept = sweep(*TINY, *words, "sweep.workers=2", cwd=tmp_path)
    assert [trial.status for trial in swept.state.trials] == ["finished", "failed"], swept.said
    assert swept.code == 1
    assert swept.state.trial(2).why


def test_on_failure_stop_begins_no_further_trial(tmp_path: Path) -> None:
    words = ("loss.what=raise,none", "loss.at=1", "lr=0.01,0.02", "sweep.on_failure=stop", "sweep.workers=1")
    swept = sweep(*TINY, *words, cwd=tmp_path)
    assert [trial.status for trial in swept.state.trials] == ["failed"]
    assert (swept.code, "sweep.on_failure=stop" in swept.said) == (1, True)


def test_only_the_best_keep_their_checkpoints(tmp_path: Path) -> None:
    swept = sweep(*TINY, RATES, "sweep.trials=6", "sweep.keep_best=2", "sweep.workers=2", cwd=tmp_path)
    ranked = sorted(swept.state.trials, key=lambda one: (-(one.value or -math.inf), one.number))
    kept = {name for name, run in runs_of(swept.folder).items() if list((run / "checkpoints").glob("*.pt"))}
    assert kept == {f"-{trial.number}" for trial in ranked[:2]}
    assert all(weights(run) for run in runs_of(swept.folder).values()), "results stay"


def test_several_objectives_give_a_front(tmp_path: Path) -> None:
    words = ("model.width=4,8,16", "lr=0.01", "objective=[val/accuracy,params]", "sweep.workers=2")
    swept = sweep(*[word for word in TINY if not word.startswith("model.")], *words, cwd=tmp_path)
    assert swept.code == 0, swept.said
    params = [trial.values[1] for trial in swept.state.trials if trial.values]
    assert len(params) == 3
    assert params == sorted(params)
    told = json.loads(hpo_run("best", str(swept.folder), "--json", cwd=tmp_path).stdout)
    front = {row["trial"] for row in told["leaderboard"] if row["on_front"]}
    values = {trial.number: trial.values for trial in swept.state.trials if trial.values}
    assert front == {
        number for number, own in values.items()
        if not any(dominates(other, own) for other in values.values())
    }  # fmt: skip


def dominates(one: tuple[float | None, ...], other: tuple[float | None, ...]) -> bool:
    """By accuracy, higher, and parameters, lower."""
    pair = [(-(values[0] or 0.0), values[1] or 0.0) for values in (one, other)]
    return pair[0] != pair[1] and all(a <= b for a, b in zip(*pair, strict=True))
