"""What a sweep says of trials that wait, take states over, were refused, or were running when it was killed."""

from __future__ import annotations

from pathlib import Path

import pytest

from hpo_cli.console import output
from hpo_cli.console.leaderboard import page as board_page
from hpo_cli.console.output import Line
from hpo_cli.console.setting_words import setting_words
from hpo_cli.console.sweep_end import announce, conclusion
from hpo_cli.console.sweep_frame import Place, sweep_frame
from hpo_cli.console.sweep_page import page
from hpo_cli.console.sweep_table import PlainView
from hpo_cli.record.process import this_process
from hpo_cli.record.sweep_record import read_sweep_record
from hpo_cli.report.digest import digest
from hpo_cli.sweep.eta import estimate
from hpo_cli.sweep.fold import SweepState, read_sweep
from hpo_cli.sweep.live import LiveRun
from hpo_cli.sweep.members import as_it_is
from hpo_cli.sweep.space import Dimension, Space
from hpo_cli.sweep.tally import Tally
from tests.population import population
from tests.sweep_story import Story

DEAD = {**this_process().to_json(), "start": "1"}
SMALL = Space((Dimension("a", ("a",), choices=(1, 2, 3)),))


def text(lines: list[Line]) -> str:
    return "\n".join("".join(span.text for span in line).rstrip() for line in lines)


def sheet(folder: Path) -> str:
    return text(list(page(read_sweep(folder), read_sweep_record(folder), ref="abc123")))


def frame(state: SweepState, live: list[LiveRun], story: Story) -> list[str]:
    tally = Tally()
    tally.take(state)
    found = estimate(state, live, tally, now=story.now)
    return text(sweep_frame(state, found, tally, Place(110, 30), now=story.now)).splitlines()


def died(root: Path) -> Path:
    story = Story.begun(trials=5, place=root / "digits" / "abc123").joined(DEAD)
    story.trial(0.9)
    for _ in range(2):
        story.start(story.propose(optimizer="adam"))
    return story.write()


def test_adoptions_are_said_as_they_happen(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    view = PlainView(population(tmp_path, adoptions=0).state())
    state = population(tmp_path, adoptions=1).state()
    view.update(state, [])
    assert "trial 2 takes over trial 1 at epoch 2: lr=0.0103" in capsys.readouterr().out
    view.update(state, [])
    assert capsys.readouterr().out == ""


def test_the_frame_has_the_knobs_of_now(tmp_path: Path) -> None:
    story = population(tmp_path)
    lines = frame(as_it_is(story.state()), [LiveRun(2, 0, 4, 6)], story)
    assert any(line.lstrip().startswith("2  lr=0.02") for line in lines)
    assert not any("lr=0.05" in line for line in lines)


def test_the_page_and_the_end_have_the_knobs_of_now(tmp_path: Path) -> None:
    story = population(tmp_path)
    story.end(2, epoch=6, values=[0.99]).write()
    for said in (sheet(story.folder), text(list(conclusion(story.state())))):
        assert "lr=0.02 init=he  (now: it took states over)" in said


def test_who_ran_when_it_was_killed_is_not_running(tmp_path: Path) -> None:
    said = sheet(died(tmp_path))
    assert "1 finished, 2 were running (go on when it is resumed), of 5" in said
    assert " 2 running" not in said
    found = text(list(board_page(digest(read_sweep(tmp_path / "digits" / "abc123")), top=5)))
    assert "2 were running" in found


def test_what_goes_on_is_where_it_was_until_its_process_tells(tmp_path: Path) -> None:
    story = Story.begun(trials=5, epochs=6).joined()
    number = story.propose(optimizer="adam")
    reports = {epoch: (0.1 * epoch,) for epoch in range(1, 6)}
    story.start(number).end(number, "interrupted", epoch=5, reports=reports, values=[0.5]).start(number)
    lines = frame(story.state(), [LiveRun(number, epoch=0, epochs=6, reports=reports)], story)
    assert any(" 5/6 " in line for line in lines)
    assert not any(" 0/6 " in line for line in lines)


def test_why_settings_were_refused_is_told_by_reason(tmp_path: Path) -> None:
    story = Story.begun(trials=5, place=tmp_path / "digits" / "abc123").joined()
    story.trial(0.9)
    for lr in (0.1, 0.2):
        story.tell("refused", setting={"optimizer.lr": lr}, reason="batch_size=1: norm needs more")
    story.left().write()
    for said in (sheet(story.folder), text(list(conclusion(story.state())))):
        assert "refused    2 settings: batch_size=1: norm needs more (such as lr=0.1)" in said
    assert "refused 2 settings: batch_size=1" in text(list(board_page(digest(story.state()), top=5)))


def test_that_nothing_was_trained_to_its_end_is_said_with_what_to_do() -> None:
    story = Story.begun(trials=3, scheduler="asha", epochs=9).joined()
    for value in (0.5, 0.6, 0.7):
        number = story.propose(until=1, optimizer="adam")
        story.start(number).end(number, "paused", epoch=1, values=[value])
    story.tell("ended_sweep", why="all 3 trials are there").left()
    said = text(list(conclusion(story.state())))
    assert "no trial was trained to its last epoch, 9: the furthest one reached epoch 1" in said
    assert "hpo-run resume=best:abc123 epochs=9" in said
    assert "3 at their rungs" in said
    story.tell("ordered", trial=3, until=None, why="").start(3).end(3, epoch=9, values=[0.8])
    assert "last epoch" not in text(list(conclusion(story.state())))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"trials": 1}, "1 trial of 1 epoch"),
        ({"trials": None}, "trials of 1 epoch until it is stopped"),
        ({"trials": None, "search": "sensitivity", "space": SMALL}, "3 trials of 1 epoch"),
        ({"trials": 50, "space": SMALL}, "3 trials of 1 epoch"),
    ],
)
def test_what_begins_is_counted(settings: dict[str, object], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    announce(Story.begun(epochs=1, **settings).state())  # type: ignore[arg-type]
    assert f": {said}\n" in capsys.readouterr().out


def test_what_matters_most_comes_first() -> None:
    setting = {"model.depth": 3, "init": "he", "batch_size": 32, "optimizer.lr": 0.01, "optimizer": "adam"}
    assert setting_words(setting, list(setting)) == "optimizer=adam lr=0.01 batch_size=32 depth=3 init=he"


def test_a_reason_is_wrapped_and_never_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    why = " ".join(f"word{number}" for number in range(40))
    story = Story.begun(place=tmp_path / "digits" / "abc123")
    story.tell("edited", changes=["sweep.workers: was 2, now 4"], who="ada@host", why=why).write()
    monkeypatch.setattr(output, "is_styled", lambda *_: True)
    monkeypatch.setenv("COLUMNS", "80")
    said = sheet(story.folder)
    assert " ".join(said.split()).count(why) == 1


def test_a_sweep_without_trials_says_so(tmp_path: Path) -> None:
    story = Story.begun(place=tmp_path / "digits" / "abc123").joined()
    story.tell("refused", setting={"optimizer.lr": 1.0}, reason="too large")
    story.tell("ended_sweep", why="every setting was refused: too large").left().write()
    said = text(list(board_page(digest(read_sweep(story.folder)), top=5)))
    assert "No trial was ever begun (every setting was refused: too large)" in said
    assert "hpo-run -m sweep.resume=abc123" in said
    assert "1 setting: too large" in said
