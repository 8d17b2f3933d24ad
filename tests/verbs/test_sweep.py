import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import pytest

from hpo_cli.errors import ConfigError, RunFailedError, UserError
from hpo_cli.record.process import this_process
from hpo_cli.sweep.editing import Editing
from hpo_cli.sweep.fold import read_sweep
from hpo_cli.sweep.log import FolderLog
from hpo_cli.verbs import ls, show, sweep
from tests.run_folders import Run, make_run
from tests.sweep.fake import Listed, driver
from tests.sweep_story import SPACE, Story, make_sweep
from tests.verbs.test_light_imports import HEAVY, modules_of


@pytest.fixture
def swept(outputs: Path) -> Path:
    return make_sweep(outputs, "abc123", trials=12, minutes_old=0.5)


def test_ls_shows_a_sweep_as_one_line(printed: Callable[..., str], swept: Path) -> None:
    lines = printed(ls).splitlines()
    assert len(lines) == 1 + 3 + 1
    row = lines[1].split("  ")
    assert lines[1].startswith("abc123")
    assert "sweep: optimizer=adam,sgd epochs=10" in lines[1]
    assert [part.strip() for part in row if part.strip()][3:6] == ["finished", "1.02", "12/12 trials"]
    by_best = printed(ls, "--sort", "objective").splitlines()
    assert by_best[1].startswith("abc123")


def test_ls_of_a_name_has_its_sweeps(printed: Callable[..., str], swept: Path, outputs: Path) -> None:
    make_run(outputs, Run(id="eeeeee", name="diabetes"))
    assert "abc123" in printed(ls, "digits")
    assert "abc123" not in printed(ls, "diabetes")


@pytest.mark.parametrize("ref", ["abc123", "abc"])
def test_ls_of_a_sweep_lists_its_trials(printed: Callable[..., str], swept: Path, ref: str) -> None:
    head, *rows = printed(ls, ref).splitlines()
    assert head.split() == ["trial", "run", "setting", "status", "val/accuracy", "epochs", "time"]
    assert [row.split()[0] for row in rows] == [str(number) for number in range(12, 0, -1)]
    assert rows[0].split()[1:4] == ["abc123-12", "optimizer=adam", "lr=0.012"]
    best = printed(ls, ref, "--sort", "objective", "--limit", "2").splitlines()
    assert [row.split()[0] for row in best[1:3]] == ["12", "11"]
    assert best[-1] == "10 more; --limit 0 shows all"


def test_ls_of_a_sweep_that_was_killed_has_the_epochs_that_its_runs_tell(
    printed: Callable[..., str], outputs: Path
) -> None:
    story = Story.begun(place=outputs / "digits" / "abc123").joined({**this_process().to_json(), "start": "1"})
    story.start(story.propose(optimizer="adam", optimizer__lr=0.01)).write()
    folder = make_run(outputs, Run(id="abc123-1"), below="digits/abc123")
    rows = [{"step": 10 * epoch, "epoch": epoch, "val/accuracy": 0.5} for epoch in range(1, 5)]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (row,) = printed(ls, "abc123").splitlines()[1:]
    assert " was running " in row
    assert " 4/10 " in row


def test_a_sweep_of_many_words_does_not_widen_every_row(printed: Callable[..., str], outputs: Path) -> None:
    story = Story.begun(place=outputs / "digits" / "abc123")
    story.events[0]["words"] = [f"model.width={number}" for number in range(40)]
    story.write()
    assert max(map(len, printed(ls).splitlines())) < 160


def test_ls_json_tells_sweeps_from_runs(answered: Callable[..., Any], swept: Path) -> None:
    rows = answered(ls)
    assert [row.get("kind", "run") for row in rows].count("sweep") == 1
    assert rows[0]["done"] == 12
    trials = answered(ls, "abc123")
    assert trials[0]["setting"] == {"optimizer": "adam", "optimizer.lr": 0.012}
    assert trials[0]["runs"] == ["abc123-12"]


def test_ls_of_nothing_known(printed: Callable[..., str], swept: Path) -> None:
    with pytest.raises(UserError, match="no runs of that name"):
        printed(ls, "xyz")


@pytest.mark.parametrize("words", [["abc123"], ["last"], []])
def test_show_of_a_sweep_is_its_page(printed: Callable[..., str], swept: Path, words: list[str]) -> None:
    page = printed(show, *words)
    assert page.startswith("sweep digits abc123  finished")
    for said in (
        "optimizer: adam, sgd", "optimizer.lr: 0.0001 .. 0.1 (log)", "val/accuracy (max)", "12 finished",
        "val/accuracy 1.02  trial 12, epoch 10  (abc123-12)", f"hpo-run best {swept}", "resume=best:",
    ):  # fmt: skip
        assert said in page
    assert "sweep.resume" not in page


def test_show_of_a_trial_is_the_run(printed: Callable[..., str], swept: Path) -> None:
    assert printed(show, "abc123-7").startswith("digits abc123-7  finished")


def test_show_of_a_sweep_as_json(answered: Callable[..., Any], swept: Path) -> None:
    found = answered(show, "abc123")
    assert (found["kind"], found["counts"]["finished"], found["best"]["run"]) == ("sweep", 12, "abc123-12")
    assert answered(sweep, "abc123") == found


def test_without_changes_it_is_shown(printed: Callable[..., str], swept: Path) -> None:
    assert printed(sweep, "abc123") == printed(show, "abc123")


def test_nobody_drives_it_so_it_is_written_at_once(printed: Callable[..., str], swept: Path) -> None:
    said = printed(sweep, "abc123", "trials+=20", "ban:optimizer=sgd", "--why", "more room")
    assert said.splitlines()[0] == "sweep.trials: was 12, now 32"
    assert f"it counts when it goes on: hpo-run -m sweep.resume={swept}" in said
    state = read_sweep(swept)
    assert state.settings.trials == 32
    assert state.space["optimizer"].choices == ("adam",)
    assert state.edits[0]["why"] == "more room"
    assert "@" in state.edits[0]["who"]
    page = printed(show, "abc123")
    assert "interrupted" in page
    assert "sweep.trials: was 12, now 32; optimizer: was adam, sgd, now adam" in page
    assert "goes on" in page


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["abc123", "workers=0", "banana"], "workers=0: must be at least 1.*\n.*banana"),
        (["workers=4"], "which sweep"),
        (["abc123", "stop"], "nobody drives it"),
        (["abc123-7", "workers=4"], "a trial of the sweep abc123"),
        (["abc123", "--whyy", "x"], "did you mean --why"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_is_written(
    printed: Callable[..., str], swept: Path, words: list[str], message: str
) -> None:
    before = (swept / "sweep.jsonl").read_bytes()
    with pytest.raises(UserError, match=message):
        printed(sweep, *words)
    assert (swept / "sweep.jsonl").read_bytes() == before
    assert not (swept / "control").exists()


class Driven:
    """A sweep that this process drives, in a thread."""

    def __init__(self, folder: Path) -> None:
        who = this_process().to_json()
        self.driver = driver(
            [], folder=folder, log=FolderLog(folder), search=Listed([]), space=SPACE.to_json(), settings={"workers": 2}
        )
        with self.driver.log.locked():
            self.driver.state.replay(self.driver.log.append({"event": "joined", "who": who, "workers": 2}))
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        editing = Editing()
        editing(self.driver)
        while not self._end.is_set():
            editing(self.driver)
            time.sleep(0.02)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()


def test_whoever_drives_it_answers(printed: Callable[..., str], outputs: Path) -> None:
    folder = outputs / "digits" / "fff000"
    folder.mkdir(parents=True)
    with Driven(folder) as driven:
        said = printed(sweep, "fff000", "workers=4", "optimizer.lr=interval(1e-3,1e-2)", "pause")
        assert driven.driver.tools.executor.slots == 4
    assert said.splitlines() == [
        "sweep.workers: was 2, now 4",
        "optimizer.lr: was 0.0001 .. 0.1 (log), now 0.001 .. 0.01 (log)",
        "trials that are there still inform the search",
        "no further trial begins; those that train go on to their end",
    ]
    assert read_sweep(folder).is_held


def test_json_is_the_answer(answered: Callable[..., Any], outputs: Path) -> None:
    folder = outputs / "digits" / "fff000"
    folder.mkdir(parents=True)
    with Driven(folder):
        assert answered(sweep, "fff000", "workers=4")["ok"] is True


def test_who_does_not_answer_is_told_of_and_the_change_is_taken_back(
    printed: Callable[..., str], outputs: Path
) -> None:
    folder = outputs / "digits" / "fff000"
    folder.mkdir(parents=True)
    Driven(folder)  # joined, and never looks
    with pytest.raises(RunFailedError, match=r"no answer within 0\.1 s; the change was taken back"):
        printed(sweep, "fff000", "workers=4", "--timeout", "0.1")
    assert list((folder / "control" / "inbox").iterdir()) == []
    assert printed(sweep, "fff000", "workers=4", "--no-wait").startswith("sent ")
    (left,) = (folder / "control" / "inbox").iterdir()
    assert json.loads(left.read_text())["args"] == {"words": ["workers=4"]}


def test_a_problem_is_a_config_error(printed: Callable[..., str], swept: Path) -> None:
    with pytest.raises(ConfigError, match="seeds=3: cannot change while a sweep runs"):
        printed(sweep, "abc123", "seeds=3")


@pytest.mark.parametrize("words", [["ls"], ["ls", "abc123"], ["show", "abc123"], ["sweep", "abc123", "trials+=1"]])
def test_nothing_heavy_is_imported(outputs: Path, swept: Path, words: list[str]) -> None:
    loaded = modules_of(*words, "--outputs", str(outputs))
    assert not loaded & {*HEAVY, "rich"}
