from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hpo_cli.errors import ConfigError
from hpo_cli.steer.commands import wait_for_ack
from hpo_cli.sweep.editing import Editing, send_edit, write_edit
from hpo_cli.sweep.edits import Outcome, events_of, read_edit, revised
from hpo_cli.sweep.fold import SweepState, read_sweep
from hpo_cli.sweep.log import FolderLog
from hpo_cli.sweep.space import Condition, Dimension, Space
from tests.sweep.fake import FakeExecutor, Listed, began, driver
from tests.sweep_story import Story

OF_ADAM, OF_SGD = (Condition("optimizer", (name,)) for name in ("adam", "sgd"))
SPACE = Space(
    (
        Dimension("optimizer", ("optimizer",), choices=("adam", "sgd", "adagrad")),
        Dimension("lr of adam", ("lr",), low=1e-4, high=1e-1, scale="log", when=(OF_ADAM,)),
        Dimension("lr of sgd", ("lr",), low=1e-2, high=1.0, scale="log", when=(OF_SGD,)),
        Dimension("batch_size", ("batch_size",), choices=(16, 32, 64, 128)),
        Dimension(
            "lr,clip", ("optimizer.betas", "regularization.clip_norm"), choices=(([0.9, 0.99], 1.0), ([0.8, 0.9], 2.0))
        ),
    )
)


def state(**settings: Any) -> SweepState:
    return Story.begun(space=SPACE, **settings).joined(workers=3).state()


def edited(*words: str, **settings: Any) -> Outcome:
    return revised(words, state(**settings))


def ends(outcome: Outcome, name: str) -> tuple[float | None, float | None]:
    return outcome.space[name].low, outcome.space[name].high


@pytest.mark.parametrize(
    ("word", "key", "value"),
    [
        ("workers=4", "workers", 4), ("workers+=2", "workers", 4), ("trials*=2", "trials", 40),
        ("trials-=5", "trials", 15),
        ("sweep.trials=30", "trials", 30), ("minutes=90", "minutes", 90.0), ("target=0.98", "target", 0.98),
        ("trials=null", "trials", None), ("on_failure=stop", "on_failure", "stop"), ("keep_best=3", "keep_best", 3),
    ],
)  # fmt: skip
def test_settings(word: str, key: str, value: object) -> None:
    outcome = edited(word)
    new = getattr(outcome.settings, key)
    assert new == value
    assert type(new) is type(value)
    assert len(outcome.lines) == 1
    assert outcome.lines[0].startswith(f"sweep.{key}: was ")
    assert outcome.space == SPACE


def test_what_was_left_open_counts_as_what_came_of_it() -> None:
    assert edited("workers+=1", workers=None).settings.workers == 4
    assert revised(["trials+=1"], Story.begun(trials=None, size=12).state()).settings.trials == 13


def test_a_range_is_narrowed() -> None:
    outcome = edited("lrof adam=interval(1e-3, 1e-2)")  # spaces do not count
    assert ends(outcome, "lr of adam") == (1e-3, 1e-2)
    assert ends(outcome, "lr of sgd") == (1e-2, 1.0)
    assert outcome.is_narrower
    only = "(log), only with optimizer=adam"
    assert outcome.lines == (f"lr of adam: was 0.0001 .. 0.1 {only}, now 0.001 .. 0.01 {only}",)


def test_a_key_narrows_the_ranges_of_all_options_that_have_it() -> None:
    outcome = edited("lr=interval(1e-3,5e-2)")
    assert (ends(outcome, "lr of adam"), ends(outcome, "lr of sgd")) == ((1e-3, 5e-2), (1e-2, 5e-2))
    assert edited("optimizer.lr=interval(1e-3,5e-2)").space == outcome.space


def test_but_not_where_nothing_would_stay_unless_the_option_is_gone() -> None:
    with pytest.raises(ConfigError, match=r"lr of sgd.*leaves nothing of 0\.01 \.\. 1"):
        edited("lr=interval(1e-4,1e-3)")
    outcome = edited("ban:optimizer=sgd", "lr=interval(1e-4,1e-3)")
    assert ends(outcome, "lr of adam") == (1e-4, 1e-3)
    assert outcome.space["optimizer"].choices == ("adam", "adagrad")


@pytest.mark.parametrize(
    ("word", "left"),
    [
        ("batch_size=16,64", (16, 64)), ("batch_size=choice(32)", (32,)), ("batch_size=interval(20,70)", (32, 64)),
        ("ban:batch_size=128", (16, 32, 64)),
    ],
)  # fmt: skip
def test_lists_are_narrowed(word: str, left: tuple[int, ...]) -> None:
    assert edited(word).space["batch_size"].choices == left


def test_several_words_are_one_edit() -> None:
    outcome = edited("workers=4", "ban:optimizer=sgd", "ban:optimizer=adagrad", "pause")
    assert outcome.space["optimizer"].choices == ("adam",)
    assert outcome.acts == ("pause",)
    events = events_of(outcome, who="ada@here", why="too hot")
    assert [event["event"] for event in events] == ["edited", "held"]
    after = state()
    after.replay(events)
    assert after.settings == outcome.settings
    assert after.space == outcome.space
    assert after.is_held


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["worker=4"], r"^worker=4: cannot change .*did you mean workers\?"),
        (["workers=0"], r"^workers=0: must be at least 1"),
        (["workers=2"], r"^workers: is 2 already"),
        (["workers=two"], r"^workers=two: must be a whole number"),
        (["trials+=x"], r"needs a number"),
        (["trials/=3"], r"^trials=6.66.*must be a whole number"),
        (["seeds=3"], r"^seeds=3: cannot change while a sweep runs"),
        (["search=tpe"], r"cannot change while a sweep runs"),
        (["lr*=2"], r"write lr=interval\(low,high\)"),
        (["lr=1e-3,1e-2"], r"would make another list of the range"),
        (["lr=interval(1,x)"], r"is no range"),
        (["batch_size=16,256"], r"^batch_size=256: was never searched here"),
        (["ban:batch_size=7"], r"^batch_size=7: is no value of a list here"),
        (["ban:lr=0.1"], r"narrow a range instead"),
        (["ban:optimizer"], r"names no value"),
        (["dropout=interval(0,1)"], r"names nothing"),
        (["pausse"], r"did you mean pause\?"),
        (["unpause"], r"not paused"),
        (["workers=4", "seeds=2", "banana"], r"^seeds=2: .*\nbanana: "),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused(words: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        edited(*words)


def test_nothing_changes_where_one_word_is_wrong() -> None:
    found = state()
    with pytest.raises(ConfigError):
        revised(["trials=99", "banana"], found)
    assert found.settings.trials == 20


def test_the_last_value_cannot_be_banned() -> None:
    with pytest.raises(ConfigError, match="leaves nothing"):
        edited(*(f"ban:optimizer={name}" for name in ("adam", "sgd", "adagrad")))


def test_words_are_taken_apart() -> None:
    assert read_edit("sweep.workers=4").key == "workers"
    with pytest.raises(ConfigError, match="no change of a sweep"):
        read_edit("faster")


class Narrowed(Listed):
    space: Any = None

    def narrow(self, space: Any) -> None:
        self.space = space


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def made(folder: Path, executor: FakeExecutor | None = None) -> Any:
    return driver(
        [], folder=folder, log=FolderLog(folder), search=Narrowed([{"x": k} for k in range(9)]), executor=executor,
        space=SPACE.to_json(), settings={"workers": 2, "trials": 5},
    )  # fmt: skip


def test_a_driver_takes_what_lies_in_the_folder_and_answers(folder: Path) -> None:
    found, editing = made(folder), Editing()
    assert editing(found) == []
    name = send_edit(folder, ["workers=4", "trials+=3", "ban:optimizer=sgd"], why="room")
    events = editing(found)
    assert [event["event"] for event in events] == ["edited"]
    assert (found.tools.executor.slots, found.state.settings.trials) == (4, 8)
    assert found.search.space["optimizer"].choices == ("adam", "adagrad")
    ack = wait_for_ack(folder, name, 0)
    assert ack is not None
    assert ack["ok"]
    assert "sweep.workers: was 2, now 4" in ack["said"]
    kept = read_sweep(folder)
    assert (kept.settings.workers, kept.edits[0]["why"], kept.edits[0]["id"]) == (4, "room", name)
    assert editing(found) == []


def test_another_process_follows(folder: Path) -> None:
    first, second = made(folder), made(folder)
    here, there = Editing(), Editing()
    here(first), there(second)
    send_edit(folder, ["workers=5", "ban:optimizer=sgd"])
    here(first)
    with second.log.locked():
        second.state.replay(second.log.news())
    assert there(second) == []
    assert second.tools.executor.slots == 5
    assert second.search.space["optimizer"].choices == ("adam", "adagrad")
    assert len(read_sweep(folder).edits) == 1


def test_a_wrong_edit_is_answered_and_changes_nothing(folder: Path) -> None:
    found, editing = made(folder), Editing()
    name = send_edit(folder, ["workers=0", "banana"])
    assert editing(found) == []
    ack = wait_for_ack(folder, name, 0)
    assert ack is not None
    assert not ack["ok"]
    assert "workers=0: must be at least 1" in ack["error"]
    assert read_sweep(folder).edits == []


def test_an_edit_that_was_written_but_not_answered_counts_once(folder: Path) -> None:
    found, editing = made(folder), Editing()
    editing(found)
    name = send_edit(folder, ["trials+=1"])
    file = folder / "control" / "inbox" / f"{name}.json"
    content = file.read_text()
    editing(found)
    file.write_text(content)  # as if the process had been killed before it answered
    editing(found)
    assert found.state.settings.trials == 6
    assert not file.exists()


def test_pause_holds_new_trials_and_stop_lets_running_ones_save(folder: Path) -> None:
    executor = FakeExecutor()
    found, editing = made(folder, executor), Editing()
    editing(found)
    found.step()
    send_edit(folder, ["pause"])
    editing(found)
    assert found.state.is_held
    send_edit(folder, ["unpause"])
    editing(found)
    assert not found.state.is_held
    send_edit(folder, ["stop"], why="enough")
    editing(found)
    assert found.is_closing
    assert [how for _, how in executor.ended] == ["save", "save"]
    again, after = made(folder), Editing()
    after(again)
    assert not again.is_closing  # it stopped those that drove it then


def test_foreign_files_are_set_aside(folder: Path) -> None:
    found, editing = made(folder), Editing()
    inbox = folder / "control" / "inbox"
    inbox.mkdir(parents=True)
    (inbox / "note.txt").write_text("workers=4")
    assert editing(found) == []
    assert (folder / "control" / "set-aside" / "note.txt").exists()


def test_the_first_event_of_the_double_is_the_real_one() -> None:
    assert began()["event"] == "began"


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("batch_size=interval(a,b)", "is no range"),
        ("lr=interval(1e-4,1e-2)", r"lr of sgd=.*leaves 0.01 alone of 0.01 .. 1.*ban:optimizer=sgd.*'lr of adam="),
        ("lr=interval(1e-4,1e-3)", r"lr of sgd=.*leaves nothing of 0.01 .. 1.*ban:optimizer=sgd"),
        ("lr of adam=interval(0.1,1)", r"lr of adam=.*leaves 0.1 alone"),
        ("trails+=1", "did you mean trials?"),
    ],
)
def test_what_leaves_no_range_is_refused_with_the_way_out(word: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        revised([word], state())


def test_a_grid_that_is_exhausted_has_no_further_setting() -> None:
    grid = Space((Dimension("lr", ("lr",), choices=(1, 2)),))
    began_so = Story.begun(space=grid, search="grid", trials=2).joined().state()
    with pytest.raises(ConfigError, match="there is no further setting: 2 are all"):
        revised(["trials+=5"], began_so)
    assert revised(["trials=1"], began_so).settings.trials == 1
    assert revised(["trials+=5"], state()).settings.trials == 25


def test_a_space_that_the_scheduler_cannot_go_on_with_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(settings: object, *, space: Space, **rest: object) -> None:
        if space["lr of adam"].low == 0.001:
            raise ConfigError("sweep.scheduler", rule="cannot go on")

    monkeypatch.setattr("hpo_cli.sweep.asked.make_scheduler", refuses)
    found = driver([{}], log=FolderLog(tmp_path), folder=tmp_path, space=SPACE.to_json())
    before = (tmp_path / "sweep.jsonl").read_bytes()
    with found.log.locked():
        with pytest.raises(ConfigError, match="cannot go on"):
            write_edit(found.state, found.log, ["lr of adam=interval(0.001,0.1)"], who="me")
        assert (tmp_path / "sweep.jsonl").read_bytes() == before
        write_edit(found.state, found.log, ["lr of adam=interval(0.002,0.1)"], who="me")
    assert found.state.space["lr of adam"].low == 0.002


def test_a_command_that_fails_in_an_unknown_way_is_answered_and_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = driver([{}], log=FolderLog(tmp_path), folder=tmp_path, space=SPACE.to_json())
    name = send_edit(tmp_path, ["workers=3"])
    with monkeypatch.context() as patch:
        patch.setattr("hpo_cli.sweep.editing.revised", lambda words, state: 1 / 0)
        Editing()(found)
    ack = wait_for_ack(tmp_path, name, 0)
    assert ack is not None
    assert "ZeroDivisionError" in ack["error"]
    assert found.state.settings.workers != 3


def test_a_pause_that_was_taken_before_a_kill_is_done(tmp_path: Path) -> None:
    found = driver([{}], log=FolderLog(tmp_path), folder=tmp_path)
    name = send_edit(tmp_path, ["pause"])
    with found.log.locked():
        write_edit(found.state, found.log, ["pause"], who="me", id=name)  # and is killed here
    Editing()(found)
    ack = wait_for_ack(tmp_path, name, 0)
    assert ack is not None
    assert (ack["ok"], found.state.is_held) == (True, True)
    again = send_edit(tmp_path, ["pause"])
    Editing()(found)
    assert "is so already" in (wait_for_ack(tmp_path, again, 0) or {})["error"]
