"""`hpo-run test RUN RUN ...`: an ensemble is tested once, as its members are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hpo_cli.record import ledger
from hpo_cli.record.lease import Lease
from tests.command_line import call, refuse_in_one_line
from tests.verbs.trained import copied, train


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(
        tmp_path_factory.mktemp("trained"),
        one="seed=1",
        two="seed=2",
        three="seed=3 model.depth=1",
        other="data.val_fraction=0.2",
        flowers="data=iris batch_size=8",
        first="data.folds=3 data.fold=1",
        second="data.folds=3 data.fold=2",
    )


@pytest.fixture(autouse=True)
def _here(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(copied(trained, tmp_path))


def examined(*words: str) -> Any:
    answer = call("test", *words, "--json")
    assert (answer.code, answer.err) == (0, "")
    return json.loads(answer.out)


def events(run: str) -> list[ledger.Event]:
    return [event for event in ledger.read_ledger(Path("outputs/all") / run).events if event["event"] == "tested"]


def test_members_and_ensemble_are_shown_side_by_side() -> None:
    answer = call("test", "one", "two", "three")
    assert (answer.code, answer.err) == (0, "")
    lines = answer.out.splitlines()
    assert [text for text in lines if not text.startswith(" ")] == ["validation", "test"]
    assert sum("ensemble of 3" in text for text in lines) == 2
    assert max(map(len, lines)) <= 80


def test_the_second_time_it_says_what_it_said() -> None:
    first, again, turned = examined("one", "two"), examined("one", "two"), examined("two", "one")
    assert [found.pop("tested_before") for found in (first, again, turned)] == [False, True, True]
    assert first == again == turned
    assert [len(events(run)) for run in ("one", "two")] == [2, 2]
    assert "tested before" in call("test", "two", "one").out


def test_another_set_is_another_ensemble() -> None:
    examined("one", "two")
    assert not examined("one", "two", "three")["tested_before"]
    assert [len(events(run)) for run in ("one", "two", "three")] == [3, 3, 2]
    assert not examined("one", "three")["tested_before"]


def test_members_are_tested_on_the_way_and_only_once() -> None:
    alone = examined("one")
    together = examined("one", "two")
    assert {f"test/{name}": value for name, value in together["members"][0]["test"].items()} == alone["metrics"]
    later = examined("two")
    assert later["tested_before"]
    assert later["metrics"] == {f"test/{name}": value for name, value in together["members"][1]["test"].items()}
    assert "ensemble" not in later


def test_a_ledger_that_lost_its_line_is_helped_by_the_others() -> None:
    examined("one", "two")
    path = Path("outputs/all/one/ledger.jsonl")
    path.write_text("".join(f"{text}\n" for text in path.read_text().splitlines() if '"ensemble"' not in text))
    assert examined("one", "two")["tested_before"]


def test_what_an_ensemble_said_is_nothing_that_a_member_said() -> None:
    together = examined("one", "two")
    path = Path("outputs/all/one/ledger.jsonl")
    lines = path.read_text().splitlines()
    kept = "".join(f"{text}\n" for text in lines if '"tested"' not in text or '"ensemble"' in text)
    path.write_text(kept)
    assert not examined("one")["tested_before"]
    path.write_text(kept)
    assert examined("one", "three")["members"][0]["test"] == together["members"][0]["test"]


def test_validation_alone_leaves_no_trace() -> None:
    found = examined("one", "two", "--val")
    assert found["ensemble"]["test"] == {}
    assert set(found["ensemble"]["val"]) == {"loss", "accuracy"}
    assert events("one") == events("two") == []
    assert "the test split was not looked at" in call("test", "one", "two", "--val").out
    assert found["ensemble"]["val"] == examined("one", "two")["ensemble"]["val"]


def test_folds_share_their_test_split() -> None:
    found = examined("first", "second")
    assert found["ensemble"]["val"] == {}
    assert set(found["ensemble"]["test"]) == {"loss", "accuracy"}
    assert "each on a fold of its own" in call("test", "first", "second").out


REFUSED = [
    (("one", "other"), "one has data.val_fraction=0.15, other has data.val_fraction=0.2; an ensemble needs"),
    (("one", "two", "flowers"), "one has data=digits, flowers has data=iris; an ensemble needs"),
    (("one", "first"), "one has data.folds=null, first has data.folds=3; an ensemble needs"),
    (("one", "two", "one"), "one: is given twice"),
    (("one", "nowhere"), "nowhere: no such run"),
    (("one", "--val"), "--val: judges an ensemble of several runs"),
    (("one", "two", "--averaged"), "outputs/all/one: no averaged weights"),
]


@pytest.mark.parametrize(("words", "start"), REFUSED, ids=[" ".join(words) for words, _ in REFUSED])
def test_what_does_not_go_together_is_refused(words: tuple[str, ...], start: str) -> None:
    assert refuse_in_one_line("test", *words).startswith(start)
    assert events("one") == []


def test_a_run_that_trains_is_waited_for() -> None:
    Path("outputs/all/two/result.json").unlink()
    path = Path("outputs/all/two/ledger.jsonl")
    path.write_text("".join(f"{text}\n" for text in path.read_text().splitlines() if '"finished"' not in text))
    with Lease.acquire("outputs/all/two"):
        assert "is still training" in refuse_in_one_line("test", "one", "two")
    assert events("one") == []


def test_show_lists_what_was_tested() -> None:
    examined("one", "two")
    assert call("show", "one").out.count("test split") == 2
