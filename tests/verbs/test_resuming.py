"""`hpo-run resume=RUN`: a run goes on in its own folder, to the bytes of one that was never stopped."""

from __future__ import annotations

import json
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from hpo_cli.engine import train as engine_train
from hpo_cli.engine.loop import TrainingLoop
from hpo_cli.record.lease import Lease, read_lease
from tests.command_line import call, refuse_in_one_line
from tests.verbs.steered import begun, bytes_of, events_of, new_runs, nudge_at, rows_of, sha_of, stop_at, train
from tests.verbs.trained import inside

STRAIGHT, STOPPED = Path("outputs/all/straight"), Path("outputs/all/stopped")
LAST = 32


@pytest.fixture(autouse=True)
def _handlers() -> Iterator[None]:
    """A run takes the signals: give them back."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was never stopped, and one that was told to stop after step 13, in its second epoch."""
    place = tmp_path_factory.mktemp("resuming")
    with inside(place):
        train(begun(str(STRAIGHT)))
        stop_at(begun(str(STOPPED)), 13)
        train(STOPPED)
    return place


@pytest.fixture(autouse=True)
def _copies(place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(place / "outputs", tmp_path / "outputs")
    monkeypatch.chdir(tmp_path)


def metrics_of(folder: Path) -> bytes:
    return (folder / "metrics.jsonl").read_bytes()


def steps_saved(folder: Path) -> set[int]:
    return {int(path.stem.removeprefix("step-")) for path in (folder / "checkpoints").glob("step-*.pt")}


def told(folder: Path, kind: str) -> list[dict[str, Any]]:
    return [event for event in events_of(folder) if event["event"] == kind]


def exactly(folder: Path) -> None:
    """It is as if the run had never been stopped."""
    assert sha_of(folder) == sha_of(STRAIGHT)
    assert metrics_of(folder) == metrics_of(STRAIGHT)
    assert events_of(folder)[-1]["event"] == "finished"


def edit(folder: Path, kind: str, change: Callable[[dict[str, Any]], object]) -> None:
    events = events_of(folder)
    for event in events:
        if event["event"] == kind:
            change(event)
    (folder / "ledger.jsonl").write_text("".join(f"{json.dumps(event)}\n" for event in events))


# each end ---------------------------------------------------------------------------------------------------------


def test_a_stopped_run_goes_on_to_the_same_bytes() -> None:
    assert events_of(STOPPED)[-1]["event"] == "stopped"
    assert len(rows_of(STOPPED)) == 13
    answer = call("resume=stopped")
    assert answer.code == 0, answer.err
    exactly(STOPPED)
    (event,) = told(STOPPED, "resumed")[-1:]
    assert (event["file"], event["step"], event["pid"]) == ("checkpoints/step-00000013.pt", 13, os.getpid())
    assert "step 13" in answer.out + answer.err


@pytest.mark.parametrize("ref", ["stopped", "outputs/all/stopped", "./outputs/all/stopped/"])
def test_a_run_is_named_as_everywhere(ref: str) -> None:
    assert call(f"resume={ref}").code == 0
    exactly(STOPPED)


def test_last_is_the_newest_run() -> None:
    assert call("resume=last").code == 0
    exactly(STOPPED)


def at_step(monkeypatch: pytest.MonkeyPatch, step: int, action: Callable[[], object]) -> None:
    """Do something once, right after an optimizer step."""
    original, waiting = TrainingLoop._after_step, [action]

    def after(loop: TrainingLoop) -> None:
        if loop.position.step == step and waiting:
            waiting.pop()()
        original(loop)

    monkeypatch.setattr(TrainingLoop, "_after_step", after)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)], ids=["SIGTERM", "Ctrl-C"])
@pytest.mark.parametrize("step", [5, 16])
def test_a_signal_saves_and_the_run_goes_on_exactly(
    number: signal.Signals, code: int, step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = begun("outputs/all/signalled")
    at_step(monkeypatch, step, lambda: os.kill(os.getpid(), number))
    assert call(f"resume={folder}").code == code
    assert (events_of(folder)[-1]["event"], events_of(folder)[-1]["step"]) == ("interrupted", step)
    assert call(f"resume={folder}").code == 0
    exactly(folder)


def test_a_run_that_failed_goes_on_with_another_rate() -> None:
    folder = begun("outputs/all/failed", "lr=1e30", "optimizer=sgd")
    assert call(f"resume={folder}").code == 1
    assert events_of(folder)[-1]["event"] == "failed"
    assert call(f"resume={folder}").code == 1  # as it was, it fails again
    assert call(f"resume={folder}", "lr=0.01").code == 0
    wanted = train(begun("outputs/all/wanted", "lr=0.01", "optimizer=sgd"))
    assert sha_of(folder) == sha_of(wanted)
    assert rows_of(folder) == rows_of(wanted)
    assert not (folder / "error.txt").exists()


def test_a_run_that_finished_is_refused_with_both_ways_on() -> None:
    before = bytes_of(STRAIGHT)
    said = refuse_in_one_line("resume=straight")
    assert said.startswith(f"straight: finished at step {LAST}")
    assert "hpo-run resume=straight epochs+=10" in said
    assert "hpo-run branch straight" in said
    assert bytes_of(STRAIGHT) == before


def test_a_finished_run_is_not_made_longer_by_other_words() -> None:
    assert "finished at step 32" in refuse_in_one_line("resume=straight", "lr=0.1")


def test_a_run_that_stopped_early_says_why() -> None:
    folder = begun("outputs/all/early", "regularization.early_stopping=1", "lr=1e-12")
    assert call(f"resume={folder}").code == 0
    assert told(folder, "finished")[0]["stopped_early"]
    said = refuse_in_one_line(f"resume={folder}")
    assert "no better" in said
    assert "resume=early regularization.early_stopping=null" in said
    assert call(f"resume={folder}", "regularization.early_stopping=null").code == 0
    assert len(rows_of(folder)) == LAST


def test_a_finished_run_made_longer_keeps_its_result() -> None:
    old = (STRAIGHT / "result.json").read_bytes()
    assert call("resume=straight", "epochs+=1").code == 0
    assert (STRAIGHT / f"result-{LAST:08d}.json").read_bytes() == old
    assert json.loads((STRAIGHT / "result.json").read_text())["steps"] == LAST + 8
    assert [row["step"] for row in rows_of(STRAIGHT)] == list(range(1, LAST + 9))
    (event,) = told(STRAIGHT, "nudged")
    assert event["knobs"] == {"epochs": {"old": 4, "new": 5}}
    assert (event["step"], event["why"]) == (LAST, "on resume")


def test_a_live_run_is_refused() -> None:
    before = bytes_of(STOPPED)
    with Lease.acquire(STOPPED):
        said = refuse_in_one_line("resume=stopped")
    assert "outputs/all/stopped" in said
    assert str(os.getpid()) in said
    now = {name: content for name, content in bytes_of(STOPPED).items() if not name.startswith("control")}
    assert now == {name: content for name, content in before.items() if not name.startswith("control")}
    assert call("resume=stopped").code == 0


# words ------------------------------------------------------------------------------------------------------------


def test_a_word_is_a_nudge_where_the_run_stands() -> None:
    assert call("resume=stopped", "lr/=2", "regularization.dropout=0.3").code == 0
    (event,) = told(STOPPED, "nudged")
    assert event["knobs"] == {
        "lr": {"old": 0.001, "new": 0.0005}, "regularization.dropout": {"old": 0.1, "new": 0.3},
    }  # fmt: skip
    assert (event["step"], event["why"]) == (13, "on resume")
    assert "@" in event["who"]
    wanted = begun("outputs/all/wanted")
    nudge_at(wanted, 13, lr=0.0005, regularization__dropout=0.3)
    train(wanted)
    assert sha_of(STOPPED) == sha_of(wanted) != sha_of(STRAIGHT)
    assert metrics_of(STOPPED) == metrics_of(wanted)


def test_words_for_the_machine_change_no_bit_and_stay() -> None:
    words = ("checkpoint.every_steps=5", "checkpoint.keep_last=20", "data.placement=device")
    answer = call("resume=stopped", *words)
    assert answer.code == 0, answer.err
    exactly(STOPPED)
    assert told(STOPPED, "nudged") == []
    assert told(STOPPED, "resumed")[-1]["machine"] == {
        "checkpoint.every_steps": 5, "checkpoint.keep_last": 20, "data.placement": "device",
    }  # fmt: skip
    assert {15, 20, 25, 30} <= steps_saved(STOPPED)
    assert call("resume=stopped", "epochs+=1").code == 0
    assert {35, 40} <= steps_saved(STOPPED)


def test_threads_can_be_others() -> None:
    answer = call("resume=stopped", "trainer.threads=2")
    assert answer.code == 0, answer.err
    assert told(STOPPED, "resumed")[-1]["machine"] == {"trainer.threads": 2}
    assert len(rows_of(STOPPED)) == LAST


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("model.width=8", "with the weights that fit: hpo-run branch stopped model.width=8 --partial"),
        ("seed=3", "a child can have another: hpo-run branch stopped seed=3"),
        ("data.subset=0.2", "hpo-run branch stopped data.subset=0.2"),
        ("lrr=0.1", "did you mean lr?"),
        ("model.wdth=8", "model.wdth: is no key of this run"),
        ("lr=-1", "lr=-1"),
        ("trainer.threads=0", "trainer.threads=0"),
        ("trainer.threads=many", "trainer.threads=many"),
        ("checkpoint.every_steps=0", "checkpoint.every_steps=0"),
        ("optimizer=sgd", "optimizer"),
    ],
)
def test_what_cannot_change_is_refused_and_nothing_is_written(word: str, said: str) -> None:
    before = bytes_of(STOPPED)
    assert said in refuse_in_one_line("resume=stopped", word)
    assert bytes_of(STOPPED) == before


def test_what_only_the_data_can_tell_is_refused_too() -> None:
    """A batch norm cannot take the one sample that is left over."""
    folder = begun("outputs/all/normed", "model.norm=batch")
    stop_at(folder, 13)
    train(folder)
    before = bytes_of(folder)
    assert "batch_size=25" in refuse_in_one_line(f"resume={folder}", "batch_size=25")
    assert bytes_of(folder)["ledger.jsonl"] == before["ledger.jsonl"]


def test_a_word_of_a_resume_that_was_refused_is_forgotten() -> None:
    path = STOPPED / "checkpoints" / "step-00000013.pt"
    content = path.read_bytes()
    edit(STOPPED, "data", lambda event: event.update(train=125))
    assert call("resume=stopped", "lr=0.5").code == 2
    edit(STOPPED, "data", lambda event: event.update(train=126))
    path.write_bytes(content)
    assert call("resume=stopped").code == 0
    assert told(STOPPED, "nudged") == []
    assert sha_of(STOPPED) == sha_of(STRAIGHT)


def test_a_run_must_be_named() -> None:
    assert refuse_in_one_line("resume=") == "resume: needs a run; give an id, a path or last: hpo-run ls"
    assert "nobody" in refuse_in_one_line("resume=nobody")
    assert "add resume=RUN" in refuse_in_one_line("branch=true")
    assert "must be true or false" in refuse_in_one_line("resume=stopped", "branch=perhaps")


def test_branch_makes_a_child_and_leaves_its_parent_alone() -> None:
    before, known = bytes_of(STOPPED), {STOPPED, STRAIGHT}
    assert call("resume=stopped", "branch=true", "seed=1").code == 0
    (child,) = new_runs(Path("outputs"), known)
    assert events_of(child)[0]["parent"]["step"] == 13
    assert bytes_of(STOPPED) == before


def test_branch_false_is_no_branch() -> None:
    assert call("resume=stopped", "branch=false").code == 0
    exactly(STOPPED)


# disagreement -----------------------------------------------------------------------------------------------------


def test_data_that_became_more_are_refused_with_both_sizes() -> None:
    edit(STOPPED, "data", lambda event: event.update(train=125))
    before = bytes_of(STOPPED)
    said = refuse_in_one_line("resume=stopped")
    assert "'train': 125" in said
    assert "'train': 126" in said
    now = bytes_of(STOPPED)
    for name in ("ledger.jsonl", "result.json", "metrics.jsonl"):
        assert now[name] == before[name], name


def test_a_plan_that_was_edited_is_refused_with_both_ids() -> None:
    plan = yaml.safe_load((STOPPED / "plan.yaml").read_text())
    plan["lr"] = plan["optimizer"]["lr"] = 0.5
    (STOPPED / "plan.yaml").write_text(yaml.safe_dump(plan))
    said = refuse_in_one_line("resume=stopped")
    assert events_of(STOPPED)[0]["plan_id"] in said
    assert "restore the one that was edited" in said


def test_a_nudge_that_was_edited_is_refused_with_both_values() -> None:
    folder = begun("outputs/all/nudged")
    nudge_at(folder, 5, lr=0.004)
    stop_at(folder, 13)
    train(folder)
    edit(folder, "nudged", lambda event: event["knobs"]["lr"].update(new=0.005))
    said = refuse_in_one_line(f"resume={folder}")
    assert "lr is 0.005 by config and ledger, 0.004 in checkpoints/step-00000013.pt" in said


def test_a_damaged_checkpoint_is_told_and_costs_no_bit() -> None:
    path = STOPPED / "checkpoints" / "step-00000013.pt"
    path.write_bytes(path.read_bytes()[:-100])
    answer = call("resume=stopped")
    assert answer.code == 0, answer.err
    exactly(STOPPED)
    assert "step-00000013.pt" in told(STOPPED, "warned")[-1]["what"]
    assert told(STOPPED, "warned")[-1]["what"] in answer.err
    assert f"going on from step {told(STOPPED, 'resumed')[-1]['step']}" in answer.err


def test_a_word_takes_force_where_a_damaged_checkpoint_leaves_the_run() -> None:
    folder = begun("outputs/all/damaged", "checkpoint.every_steps=5")
    stop_at(folder, 13)
    train(folder)
    path = folder / "checkpoints" / "step-00000013.pt"
    path.write_bytes(path.read_bytes()[:-100])
    answer = call(f"resume={folder}", "lr=0.004")
    assert answer.code == 0, answer.err
    (event,) = told(folder, "nudged")
    assert (event["step"], told(folder, "resumed")[-1]["step"]) == (10, 10)
    wanted = begun("outputs/all/wanted")
    nudge_at(wanted, 10, lr=0.004)
    assert sha_of(folder) == sha_of(train(wanted))


def test_a_word_comes_after_the_nudges_that_the_last_checkpoint_has_not_seen() -> None:
    folder = begun("outputs/all/damaged", "checkpoint.every_steps=5")
    nudge_at(folder, 12, lr=0.002)
    stop_at(folder, 13)
    train(folder)
    path = folder / "checkpoints" / "step-00000013.pt"
    path.write_bytes(path.read_bytes()[:-100])
    assert call(f"resume={folder}", "lr*=2").code == 0
    assert [(event["step"], event["knobs"]["lr"]["new"]) for event in told(folder, "nudged")] == [
        (12, 0.002),
        (12, 0.004),
    ]


def test_the_lease_beats_while_the_run_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[object] = []

    def check(*_: object, **__: object) -> None:
        wait_for(lambda: read_lease(STOPPED).fields.get("status") == "starting")  # type: ignore[union-attr]
        seen.append([thread.name for thread in threading.enumerate()].count("heartbeat"))

    monkeypatch.setattr(engine_train, "check_sizes", check)
    at_step(monkeypatch, 20, lambda: seen.append([thread.name for thread in threading.enumerate()].count("heartbeat")))
    assert call("resume=stopped").code == 0
    assert seen == [1, 1]
    exactly(STOPPED)


def wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_finished_run_that_would_stay_so_is_told_to_be_made_longer() -> None:
    said = refuse_in_one_line("resume=straight", "epochs=2")
    assert said.endswith("raise it")
    assert "RUN" not in said


def test_resuming_twice_and_stopping_between_is_exact() -> None:
    folder = begun("outputs/all/often")
    for step in (3, 8, 9, 21):
        stop_at(folder, step)
        assert call(f"resume={folder}").code == 0
        assert events_of(folder)[-1]["step"] == step
    assert call(f"resume={folder}").code == 0
    exactly(folder)
    kept = [json.loads(path.read_text()) for path in folder.glob("result-*.json")]
    assert sorted(result["steps"] for result in kept) == [3, 8, 9, 21]


def test_a_run_whose_checkpoints_are_gone_is_trained_again_to_where_it_was_and_then_on(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """As sweeps leave all but their best trials. A change takes force at the end, not where training begins again."""
    kept, bare = Path("outputs/all/kept"), Path("outputs/all/bare")
    for folder in (kept, bare):
        shutil.copytree(STRAIGHT, folder)
    for path in (bare / "checkpoints").iterdir():
        path.unlink()
    assert call(f"resume={kept}", "epochs+=1").code == 0
    answer = call(f"resume={bare}", "epochs+=1")
    assert answer.code == 0
    assert "no checkpoint is left" in answer.err
    assert sha_of(bare) == sha_of(kept) != sha_of(STRAIGHT)
    assert metrics_of(bare) == metrics_of(kept)
