"""What members of a population have now, by the adoptions in the log."""

from __future__ import annotations

from pathlib import Path

from hpo_cli.sweep.members import Members, as_it_is, histories, read_histories
from tests.population import KNOBS, population
from tests.sweep_story import Story


def test_a_member_has_the_knobs_and_the_epoch_of_what_it_took_over(tmp_path: Path) -> None:
    found = histories(population(tmp_path).events)
    assert [(phase.epoch, phase.source, phase.left) for phase in found[2]] == [(0, None, 0), (2, 1, 2), (4, 3, 4)]
    assert [dict(phase.knobs) for phase in found[2]] == [
        {"optimizer.lr": 0.05, "init": "he"},
        {"optimizer.lr": 0.0103, "init": "he"},
        {"optimizer.lr": 0.02, "init": "he"},
    ]
    assert len(found[1]) == len(found[3]) == 1


def test_a_member_that_runs_ahead_goes_back_to_where_its_source_was() -> None:
    story = Story.begun(scheduler="pbt", epochs=8)
    for lr, epoch in ((0.1, 6), (0.2, 2)):
        number = story.propose(until=2, optimizer__lr=lr)
        story.start(number).end(number, "paused", epoch=epoch, values=[0.5])
    story.tell("adopting", trial=1, source=2, files=["x"], changes={"optimizer.lr": 0.3}, until=4, why="")
    last = histories(story.events)[1][-1]
    assert (last.epoch, last.left) == (2, 6)


def test_the_sweep_is_shown_with_the_knobs_of_now_and_itself_stays_as_it_was(tmp_path: Path) -> None:
    state = population(tmp_path).state()
    shown = as_it_is(state)
    assert shown.trial(2).setting["optimizer.lr"] == 0.02
    assert state.trial(2).setting["optimizer.lr"] == 0.05
    assert shown.trial(1) is state.trial(1)


def test_a_sweep_without_adoptions_is_not_read_again(tmp_path: Path) -> None:
    state = Story.begun(place=tmp_path / "none").state()
    assert read_histories(state) == {}
    assert as_it_is(state) is state


def test_every_adoption_is_told_once_in_its_order(tmp_path: Path) -> None:
    story = population(tmp_path, adoptions=1)
    members, state = Members(), story.state()
    assert [(number, phase.changes) for number, phase in members.take(state)] == [(2, {"optimizer.lr": KNOBS[0]})]
    assert members.take(state) == []
    story = population(tmp_path)
    state = story.state()
    assert [(number, phase.source) for number, phase in members.take(state)] == [(2, 3)]
    assert members.found[2][-1].knobs["optimizer.lr"] == KNOBS[1]
