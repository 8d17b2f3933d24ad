"""`hpo-run average` and `hpo-run test --averaged`."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from hpo_cli.engine import checkpoints
from hpo_cli.engine.backend import Backend
from hpo_cli.engine.evaluation import judge
from hpo_cli.engine.saved import load_saved
from hpo_cli.record.weights import averaged_weights
from hpo_cli.verbs.trusting import trusted_plan
from tests.command_line import call, refuse_in_one_line
from tests.verbs.trained import copied, train

RUN = Path("outputs/all/several")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("trained")
    several = "epochs=4 checkpoint.keep_best=5 objective=val/loss model.norm=batch"
    center = "loss=cross_entropy_center loss.weight=0.1 epochs=3 checkpoint.keep_best=3 objective=val/loss"
    return train(place, several=several, twin=f"seed=1 {several}", center=center, one="")


@pytest.fixture(autouse=True)
def _here(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(copied(trained, tmp_path))


def test_it_prints_a_table_and_saves_a_model() -> None:
    answer = call("average", "several")
    assert (answer.code, answer.err) == (0, "")
    for text in ("best-00000040.pt", "average of 4", "val/loss", "val/accuracy", "hpo-run test several --averaged"):
        assert text in answer.out
    assert max(map(len, answer.out.splitlines()[:-2])) <= 80
    state = checkpoints.load(RUN / "checkpoints" / "average-00000160.pt")
    assert len(state["averaged"]) == 4


def test_json_tells_the_same() -> None:
    found = json.loads(call("average", "several", "--json", "--best", "2").out)
    assert [one["step"] for one in found["members"]] == [120, 160]
    assert found["renormalised"] == 2
    result = json.loads((RUN / "result.json").read_text())
    assert found["members"][-1]["metrics"]["loss"] == pytest.approx(result["objective"]["value"], rel=1e-6)
    event = json.loads((RUN / "ledger.jsonl").read_text().splitlines()[-1])
    assert (event["event"], event["file"]) == ("averaged", "checkpoints/average-00000160.pt")
    assert event["metrics"] == {f"val/{name}": value for name, value in found["average"]["metrics"].items()}


def test_the_average_is_tested_once_whatever_is_asked_later() -> None:
    call("average", "several")
    first, second = (json.loads(call("test", "several", *words, "--json").out) for words in (("--averaged",), ()))
    assert first["checkpoint"] == second["checkpoint"] == "checkpoints/average-00000160.pt"
    assert (first["tested_before"], second["tested_before"]) == (False, True)
    assert first["metrics"] == second["metrics"]


def recorded(run: str) -> dict[int, float]:
    """{step: val/loss} as training wrote it."""
    rows = map(json.loads, Path(f"outputs/all/{run}/metrics.jsonl").read_text().splitlines())
    return {row["step"]: row["val/loss"] for row in rows if "val/loss" in row}


@pytest.mark.parametrize("run", ["several", "center"])
def test_each_member_is_judged_as_its_training_judged_it(run: str) -> None:
    found = json.loads(call("average", run, "--json").out)
    known = recorded(run)
    assert len(found["members"]) >= 3
    for member in found["members"]:
        assert member["metrics"]["loss"] == pytest.approx(known[member["step"]], rel=1e-5)


def test_a_loss_with_a_state_is_averaged_too() -> None:
    found = json.loads(call("average", "center", "--json").out)
    folder = Path("outputs/all/center")
    centers = [checkpoints.load(folder / one["checkpoint"])["criterion"]["centers"] for one in found["members"]]
    mean = checkpoints.load(folder / found["average"]["checkpoint"])["criterion"]["centers"]
    torch.testing.assert_close(mean, torch.stack(centers).mean(0))
    assert not torch.equal(centers[0], centers[-1])
    saved = load_saved(folder, trusted_plan(folder, []), path=averaged_weights(folder))
    assert judge(saved.system, saved.part("val"), backend=Backend()) == found["average"]["metrics"]


def examined(*words: str) -> Any:
    answer = call("test", *words, "--json")
    assert (answer.code, answer.err) == (0, "")
    return json.loads(answer.out)


BEST, AVERAGE = "checkpoints/best-00000160.pt", "checkpoints/average-00000160.pt"


def test_figures_of_other_weights_are_called_so() -> None:
    first = examined("several")
    call("average", "several")
    later = examined("several", "--averaged")
    assert (later["tested_before"], later["asked"], later["checkpoint"]) == (True, AVERAGE, BEST)
    assert later["other_weights"]
    assert later["metrics"] == first["metrics"]
    said = call("test", "several", "--averaged").out
    assert f"tested before with {BEST}, at " in said
    assert f"{AVERAGE} was not tested: the figures are of other weights" in said
    assert not examined("several")["other_weights"]
    assert "was not tested" not in call("test", "several").out


def test_an_ensemble_of_averages_takes_nothing_from_the_best_checkpoints() -> None:
    best = examined("several")
    for run in ("several", "twin"):
        call("average", run)
    together = examined("several", "twin", "--averaged")
    assert [member["checkpoint"] for member in together["members"]] == [AVERAGE, AVERAGE]
    own = {f"test/{name}": value for name, value in together["members"][0]["test"].items()}
    assert own != best["metrics"]
    saved = load_saved(RUN, trusted_plan(RUN, []), path=averaged_weights(RUN))
    judged = judge(saved.system, saved.part("test"), backend=Backend())
    assert together["members"][0]["test"] == pytest.approx(judged)
    assert examined("several", "--averaged")["metrics"] == own
    assert examined("several")["metrics"] == best["metrics"]


def test_ensembles_of_other_weights_are_other_ensembles() -> None:
    for run in ("several", "twin"):
        call("average", run)
    best, averaged = examined("several", "twin"), examined("several", "twin", "--averaged")
    assert (best["tested_before"], averaged["tested_before"]) == (False, False)
    assert best["ensemble"] != averaged["ensemble"]
    for words, said in (((), best), (("--averaged",), averaged)):
        assert examined("twin", "several", *words) == {**said, "tested_before": True}


def test_an_average_made_anew_is_other_weights_under_the_same_name() -> None:
    call("average", "several", "--best", "2")
    first = examined("several", "--averaged")
    call("average", "several", "--best", "2")
    assert not examined("several", "--averaged")["other_weights"]
    call("average", "several")
    call("average", "twin")
    later = examined("several", "--averaged")
    assert (later["other_weights"], later["metrics"]) == (True, first["metrics"])
    assert f"{AVERAGE}, which was made anew since, was not tested" in call("test", "several", "--averaged").out
    together = examined("several", "twin", "--averaged")
    assert {f"test/{name}": value for name, value in together["members"][0]["test"].items()} != first["metrics"]
    call("average", "several", "--best", "3")
    assert not examined("several", "twin", "--averaged")["tested_before"]


def test_weights_that_are_gone_leave_what_was_said_of_them() -> None:
    first, together = examined("several"), examined("several", "twin")
    for run in ("several", "twin"):
        shutil.rmtree(f"outputs/all/{run}/checkpoints")
    later = examined("several")
    assert (later["tested_before"], later["asked"], later["other_weights"]) == (True, None, False)
    assert later["metrics"] == first["metrics"]
    assert examined("several", "twin") == {**together, "tested_before": True}
    assert "no averaged weights" in refuse_in_one_line("test", "several", "--averaged")


def test_the_best_is_still_what_other_verbs_take() -> None:
    call("average", "several")
    assert json.loads(call("results", "several", "--json").out)["checkpoint"] == "checkpoints/best-00000160.pt"


def test_what_cannot_be_averaged_is_refused() -> None:
    assert refuse_in_one_line("average", "one").endswith("train with checkpoint.keep_best=5")
    assert "hpo-run average one" in refuse_in_one_line("test", "one", "--averaged")
    assert "must be 2 or more" in refuse_in_one_line("average", "several", "--best", "1")
    path = RUN / "checkpoints" / "best-00000080.pt"
    path.write_bytes(path.read_bytes()[:-50])
    assert "no readable checkpoint" in refuse_in_one_line("average", "several")
