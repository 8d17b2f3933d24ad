"""From where a run goes on: the newest state on its line that can be read, and only where all files agree."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from hpo_cli.engine import checkpoints
from hpo_cli.engine.course import MACHINE, chart, with_machine
from hpo_cli.errors import UserError
from hpo_cli.record import ledger
from tests.command_line import fast_yaml
from tests.engine.plans import SMALL, plan, rows_of, varied, weights_of
from tests.engine.runs import Ran, by_hand, knobs, poll_always, resumed

if TYPE_CHECKING:
    from collections.abc import Callable

    from hpo_cli.plan import RunPlan

WORDS = (
    *("model.norm=batch", "regularization.dropout=0.2", "regularization.ema=0.9", "schedule.warmup_steps=2", *SMALL),
    *("epochs=3", "checkpoint.every_steps=2", "checkpoint.keep_last=9"),
)
"""Twelve steps, a checkpoint every second one."""
SCRIPT = {3: [knobs(lr=0.004)], 7: [knobs(regularization__dropout=0.5)]}


def made() -> RunPlan:
    with fast_yaml():
        return plan(*WORDS)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """A run nudged after steps 3 and 7, and what a kill after step 9 would have left of it, in `killed`."""
    with pytest.MonkeyPatch.context() as patch:
        poll_always(patch)
        place = tmp_path_factory.mktemp("course")
        ran = Ran(made(), place)
        ran.nudge(3, lr=0.004)
        ran.nudge(7, regularization__dropout=0.5)
        ran.kill(9, to=place / "killed")
        ran.go()
    return ran


@pytest.fixture
def killed(whole: Ran, tmp_path: Path) -> Path:
    folder = tmp_path / "killed"
    shutil.copytree(whole.folder.parents[2] / "killed", folder)
    return folder


def newest(folder: Path) -> Path:
    return max((folder / "checkpoints").glob("step-*.pt"))


def rewrite(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Let somebody edit the ledger by hand."""
    events = ledger.read_ledger(folder).events
    for event in events:
        change(event)
    (folder / "ledger.jsonl").write_text("".join(f"{json.dumps(event)}\n" for event in events))


def exactly(ran: Ran, whole: Ran) -> None:
    assert ran.sha == whole.sha
    assert (ran.folder / "metrics.jsonl").read_bytes() == (whole.folder / "metrics.jsonl").read_bytes()


# where ------------------------------------------------------------------------------------------------------------


def test_the_newest_state_and_what_it_has_not_seen(killed: Path) -> None:
    course = chart(killed, warn=pytest.fail)
    assert (course.file, course.step, course.applied) == ("checkpoints/step-00000008.pt", 8, 2)
    assert course.script == []
    for name in ("step-00000008.pt", "step-00000006.pt"):
        (killed / "checkpoints" / name).unlink()
    course = chart(killed, warn=pytest.fail)
    assert (course.step, course.applied) == (4, 1)
    assert [event["step"] for event in course.script] == [7]


def test_a_run_that_has_saved_nothing_begins_at_its_start(killed: Path) -> None:
    for path in (killed / "checkpoints").iterdir():
        path.unlink()
    course = chart(killed, warn=pytest.fail)
    assert (course.file, course.state, course.step, len(course.script)) == (None, None, 0, 2)


def test_a_killed_run_goes_on_to_the_same_bytes(killed: Path, whole: Ran) -> None:
    again = resumed(killed, of=whole)
    exactly(again, whole)
    (event,) = again.told("resumed")
    assert (event["file"], event["step"]) == ("checkpoints/step-00000008.pt", 8)
    hand = by_hand(made(), SCRIPT)
    assert again.sha == weights_of(hand)
    assert again.rows == rows_of(hand)


def test_without_any_checkpoint_it_trains_again_from_the_seed(killed: Path, whole: Ran) -> None:
    for path in (killed / "checkpoints").iterdir():
        path.unlink()
    again = resumed(killed, of=whole)
    exactly(again, whole)
    assert (again.told("resumed")[0]["file"], again.told("resumed")[0]["step"]) == (None, 0)
    assert len(again.told("nudged")) == 2


def test_without_its_nudges_a_run_would_end_elsewhere(killed: Path, whole: Ran) -> None:
    for path in (killed / "checkpoints").iterdir():
        path.unlink()
    rewrite(killed, lambda event: event["event"] == "nudged" and event.update(event="forgotten"))
    assert resumed(killed, of=whole).sha != whole.sha


# damage -----------------------------------------------------------------------------------------------------------


def flipped(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


DAMAGE: dict[str, Callable[[Path], object]] = {
    "one bit": flipped,
    "torn": lambda path: path.write_bytes(path.read_bytes()[:1000]),
    "empty": lambda path: path.write_bytes(b""),
    "zeros": lambda path: path.write_bytes(bytes(path.stat().st_size)),
}


@pytest.mark.parametrize("spoil", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_checkpoint_is_set_aside_and_the_one_before_is_used(
    spoil: Callable[[Path], object], killed: Path, whole: Ran
) -> None:
    path = newest(killed)
    spoil(path)
    again = resumed(killed, of=whole)
    exactly(again, whole)
    assert again.told("resumed")[0]["step"] == 6
    (warned,) = again.told("warned")
    assert path.name in warned["what"]
    assert path.with_name(f"{path.name}.damaged").exists()
    assert path.exists()  # written anew


def test_where_all_are_damaged_it_trains_again_from_the_seed(killed: Path, whole: Ran) -> None:
    paths = sorted((killed / "checkpoints").glob("step-*.pt"))
    for path in paths:
        flipped(path)
    again = resumed(killed, of=whole)
    exactly(again, whole)
    assert len(again.told("warned")) == len(paths) == 4
    assert again.told("resumed")[0]["step"] == 0


def test_a_sound_file_is_not_set_aside(killed: Path, whole: Ran) -> None:
    assert resumed(killed, of=whole).told("warned") == []
    assert not list(killed.rglob("*.damaged"))


# agreement --------------------------------------------------------------------------------------------------------


def test_an_edited_plan_is_refused_with_both_ids(killed: Path, whole: Ran) -> None:
    other = varied(whole.plan, "", lr=0.5)
    with pytest.raises(UserError) as caught:
        Ran(other, killed.parent, folder=killed)
    said = str(caught.value)
    assert other.plan_id in said
    assert whole.plan.plan_id in said
    assert "restore the one that was edited" in said


def test_an_edited_nudge_is_refused_with_both_values(killed: Path, whole: Ran) -> None:
    def edit(event: dict[str, Any]) -> None:
        if "lr" in event.get("knobs", {}):
            event["knobs"]["lr"]["new"] = 0.005

    rewrite(killed, edit)
    with pytest.raises(UserError, match=r"lr is 0\.005 by config and ledger, 0\.004 in checkpoints/step-00000008\.pt"):
        Ran(whole.plan, killed.parent, folder=killed)


def test_each_knob_that_differs_has_its_line(killed: Path, whole: Ran) -> None:
    def edit(event: dict[str, Any]) -> None:
        for change in event.get("knobs", {}).values():
            change["new"] = 0.25

    rewrite(killed, edit)
    with pytest.raises(UserError) as caught:
        Ran(whole.plan, killed.parent, folder=killed)
    lines = str(caught.value).splitlines()
    assert len(lines) == 2
    assert "lr is 0.25" in lines[0]
    assert "regularization.dropout is 0.25 by config and ledger, 0.5 in" in lines[1]


def test_a_checkpoint_of_another_plan_is_refused(killed: Path, whole: Ran) -> None:
    path = newest(killed)
    state = checkpoints.load(path)
    digest = checkpoints.save(path, {**state, "plan_id": "0123456789"})
    rewrite(
        killed,
        lambda event: str(event.get("file")).endswith(path.name) and event.update(sha256=digest),
    )
    with pytest.raises(UserError) as caught:
        Ran(whole.plan, killed.parent, folder=killed)
    assert "0123456789" in str(caught.value)
    assert whole.plan.plan_id in str(caught.value)


def test_a_checkpoint_with_other_knobs_is_refused(killed: Path, whole: Ran) -> None:
    path = newest(killed)
    state = checkpoints.load(path)
    digest = checkpoints.save(path, {**state, "knobs": {**state["knobs"], "batch_size": 64}})
    rewrite(killed, lambda event: str(event.get("file")).endswith(path.name) and event.update(sha256=digest))
    with pytest.raises(UserError, match=r"batch_size is 32 by config and ledger, 64 in checkpoints/step-00000008\.pt"):
        Ran(whole.plan, killed.parent, folder=killed)


# the machine ------------------------------------------------------------------------------------------------------


def test_the_machine_is_as_the_newest_resumption_set_it() -> None:
    before = made()
    events: list[dict[str, Any]] = [
        {"event": "resumed", "machine": {"trainer.threads": 2, "checkpoint.every_steps": 5}},
        {"event": "resumed"},
        {"event": "resumed", "machine": {"checkpoint.every_steps": 7}},
    ]
    now = with_machine(before, events)
    assert (now.trainer.threads, now.checkpoint.every_steps) == (2, 7)
    assert now.plan_id == before.plan_id
    assert now.config == before.config
    assert with_machine(before, [{"event": "resumed"}]) is before


def test_no_key_of_the_machine_is_what_is_learnt() -> None:
    config = made().config
    for key in MACHINE:
        group, _, name = key.partition(".")
        assert group in ("trainer", "data", "checkpoint")
        assert name in config[group], key
    assert not {"trainer.precision", "trainer.max_steps", "data.subset", "lr"} & set(MACHINE)
