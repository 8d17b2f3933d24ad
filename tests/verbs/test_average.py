"""`hpo-run average` and `hpo-run test --averaged`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hpo_cli.engine import checkpoints
from tests.command_line import call, refuse_in_one_line
from tests.verbs.trained import copied, train

RUN = Path("outputs/all/several")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("trained")
    return train(place, several="epochs=4 checkpoint.keep_best=5 objective=val/loss model.norm=batch", one="")


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
