"""nudge, pause, unpause, stop, checkpoint and rollback, against a run that answers, one that does not, and none."""

from __future__ import annotations

import json
import os
import shlex
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hpo_cli.record.ledger import append
from hpo_cli.steer.commands import Command, Inbox
from hpo_cli.verbs import sending
from tests.command_line import call, refuse, refuse_in_one_line
from tests.verbs.live_run import LiveRun, nudged, run_folder

STEERING = ("nudge", "pause", "unpause", "stop", "checkpoint", "rollback")
WORDS = {"nudge": ["lr=0.5"], "rollback": ["--to", "best"]}


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "_SOON_S", 0.1)
    monkeypatch.setattr(sending, "_LATE_S", 0.05)


@pytest.fixture
def outputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HPO_RUN_OUTPUTS", str(tmp_path / "outputs"))
    return tmp_path / "outputs"


@pytest.fixture
def folder(outputs: Path) -> Path:
    return run_folder(outputs)


@pytest.fixture
def live(folder: Path) -> Iterator[LiveRun]:
    with LiveRun(folder) as run:
        yield run


def sent(live: LiveRun, *words: str) -> Command:
    """The one command that these words send; the answer is printed."""
    answer = call(*words)
    assert (answer.code, answer.err) == (0, "")
    assert answer.out.startswith(f"{live.seen[-1].verb} done\n")
    return live.seen.pop()


def test_a_nudge_is_sent_and_what_the_system_has_is_printed(live: LiveRun) -> None:
    knobs = {"lr": {"old": 0.001, "new": 0.0003}}
    live.answer = lambda _: {"ok": True, "step": 1234, "knobs": knobs, "lr": 0.000287}
    answer = call("nudge", "3f9c", "lr=3e-4", "--why", "too noisy")
    assert answer.out == "step 1234: lr 0.001 -> 0.0003 (this step used 0.000287)\n"
    (command,) = live.seen
    assert (command.verb, command.args, command.why) == ("nudge", {"changes": {"lr": ["=", 0.0003]}}, "too noisy")
    assert "@" in command.who


@pytest.mark.parametrize(
    ("words", "changes"),
    [
        (["lr*=0.9"], {"lr": ["*=", 0.9]}), (["lr/=3", "epochs+=20"], {"lr": ["/=", 3], "epochs": ["+=", 20]}),
        (["epochs-=5"], {"epochs": ["-=", 5]}),
        (["optimizer.betas=[0.8,0.99]"], {"optimizer.betas": ["=", [0.8, 0.99]]}),
        (["regularization.clip_norm=2", "model.dropout=0.2"], {"regularization.clip_norm": ["=", 2],
        "model.dropout": ["=", 0.2]}),
        (["schedule.floor=0.1"], {"schedule.floor": ["=", 0.1]}), (["batch_size=128"], {"batch_size": ["=", 128]}),
    ],
)  # fmt: skip
def test_words_become_changes(live: LiveRun, words: list[str], changes: dict[str, Any]) -> None:
    assert sent(live, "nudge", "last", *words).args == {"changes": changes}


def test_a_schedule_is_sent_with_the_defaults_of_its_option(live: LiveRun) -> None:
    found = sent(live, "nudge", "last", "schedule=linear", "schedule.floor=0.1").args["changes"]
    assert found["schedule.floor"] == ["=", 0.1]
    assert found["schedule"] == [
        "=", {"option": "linear", "_target_": "hpo_cli.components.schedules.linear", "rate": 1.0, "floor": 0.0},
    ]  # fmt: skip


def test_an_option_of_ones_own_is_sent_as_well(outputs: Path, tmp_path: Path) -> None:
    own = tmp_path / "own" / "schedule"
    own.mkdir(parents=True)
    (own / "mine.yaml").write_text("# Mine\n_target_: hpo_cli.components.schedules.linear\nrate: 0.5\nfloor: 0.0\n")
    folder = run_folder(outputs)
    lines = [json.loads(line) for line in (folder / "ledger.jsonl").read_text().splitlines()]
    lines[0]["command"] = ["hpo-run", "--config-dir", str(tmp_path / "own")]
    (folder / "ledger.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    with LiveRun(folder) as live:
        assert sent(live, "nudge", "last", "schedule=mine").args["changes"]["schedule"][1]["rate"] == 0.5


def test_values_are_checked_against_the_run_as_it_is_now(folder: Path, live: LiveRun) -> None:
    assert refuse_in_one_line("nudge", "last", "lr-=0.01") == "lr=-0.009000000000000001: must be above 0"
    nudged(folder, lr=0.5)
    assert sent(live, "nudge", "last", "lr-=0.01")


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (["lr=-1"], "lr=-1: must be above 0"), (["lr=fast"], "lr=fast: must be a number"), (["lr=nan"], "finite"),
        (["model.depth+=1"], "hpo-run branch last model.depth=3"),
        (["optimizer=sgd"], "hpo-run branch last optimizer=sgd"),
        (["dropout=0.1"], "did you mean regularization.dropout?"), (["schedule=cosin"], "did you mean cosine?"),
        (["schedule=null"], "must be one of"),
        (["lr=1", "optimizer.lr=2"], "optimizer.lr: is the same quantity as lr"), (["lr=1", "lr*=2"], "given twice"),
        (["lr"], "no change of a knob"),
        (["lr=1,2"], "sweep"), (["+lr=1"], "no change of a knob"),
        (["schedule.flor=1"], "did you mean schedule.floor?"),
        (["epochs*=1.01"], "whole number"), (["regularization.mixup=a"], "must be a number"),
        (["lr=${epochs}"], "reference"),
        (["regularization.clip_norm=1", "regularization.clip_value=1"], "choose one of them"),
        ([], "nothing to change"),
        (["lr=1", "--at", "soon"], "no moment of a run"), (["lr=1", "--cancel", "x"], "leave other words"),
        (["lr=1", "--cancle", "x"], "--cancel"), (["lr=1", "--timeout", "x"], "number of seconds"),
    ],
)  # fmt: skip
def test_a_nudge_that_cannot_be_is_not_sent(live: LiveRun, words: list[str], meant: str) -> None:
    assert meant in refuse_in_one_line("nudge", "last", *words)
    assert not live.seen


def test_all_problems_are_told_at_once(live: LiveRun) -> None:
    lines = refuse("nudge", "last", "lr=1,2", "model.depth=4", "zzz=1", "schedule=x").splitlines()
    assert [line.partition(":")[0] for line in lines] == ["lr=1,2", "schedule=x", "model.depth", "zzz"]


def test_a_nudge_for_later_and_its_cancelling(live: LiveRun) -> None:
    live.answer = lambda _: {"ok": True, "step": 40, "said": ["will take force after step 2000 (now 40)"]}
    answer = call("nudge", "last", "lr=1", "--at", "step=2000")
    assert live.seen[0].args == {"changes": {"lr": ["=", 1]}, "due": {"step": 2000}}
    told, fix = answer.out.splitlines()
    assert told == "will take force after step 2000 (now 40)"
    words = shlex.split(fix)
    assert words[:4] == ["hpo-run", "nudge", "last", "--cancel"]
    assert live.seen[0].id.endswith(words[4])
    call(*words[1:5])
    assert (live.seen[1].verb, live.seen[1].args) == ("cancel", {"scheduled": words[4]})


def test_the_other_verbs(live: LiveRun) -> None:
    assert sent(live, "pause", "last").args == {}
    assert sent(live, "unpause", "3f9c12").verb == "unpause"
    assert sent(live, "stop", str(live.folder), "--why", "enough").why == "enough"
    assert sent(live, "stop", "last", "--at", "epoch=5").args == {"due": {"epoch": 5}}
    assert sent(live, "checkpoint", "last").args == {}
    assert sent(live, "checkpoint", "last", "--tag", "good").args == {"tag": "good"}
    assert "one plain name" in refuse_in_one_line("checkpoint", "last", "--tag", "../x")
    assert "takes no such word" in refuse_in_one_line("pause", "last", "lr=1")


@pytest.mark.parametrize(
    ("words", "to"),
    [
        (["--to", "-500"], {"back": 500}), (["--to=-500"], {"back": 500}), (["--to", "step=12"], {"step": 12}),
        (["--to=epoch=3"], {"epoch": 3}), (["--to", "best"], {"best": True}), (["--to", "tag=good"], {"tag": "good"}),
    ],
)  # fmt: skip
def test_a_rollback_says_where_to(folder: Path, live: LiveRun, words: list[str], to: dict[str, Any]) -> None:
    append(folder, "checkpointed", step=10, file="checkpoints/kept.pt", tag="good", line=[], kept=True)
    expected = {"to": to, "skip_batches": 0, "changes": {}}
    assert sent(live, "rollback", "last", *words).args == expected
    assert sent(live, "rollback", *words, "last").args == expected


def test_a_rollback_with_a_nudge_in_the_same_breath(live: LiveRun) -> None:
    found = sent(live, "rollback", "last", "--to", "best", "lr*=0.9", "--skip-data", "200")
    assert found.args == {"to": {"best": True}, "skip_batches": 200, "changes": {"lr": ["*=", 0.9]}}


@pytest.mark.parametrize(
    ("words", "meant"),
    [([], "where to?"), (["--to", "last"], "the run is there"), (["--to", "500"], "did you mean step=500?"),
     (["--to", "tag=x"], "no tags"),
     (["--to", "best", "lr=-1"], "above 0"), (["--to", "best", "--skip-data", "-1"], "skip-data")],
)  # fmt: skip
def test_a_rollback_that_cannot_be_is_not_sent(live: LiveRun, words: list[str], meant: str) -> None:
    assert meant in refuse_in_one_line("rollback", "last", *words)
    assert not live.seen


@pytest.mark.parametrize("verb", STEERING)
def test_a_run_must_be_named(verb: str, outputs: Path, live: LiveRun) -> None:
    words = WORDS.get(verb, [])
    assert f"which run? name it first, `last` is the newest: hpo-run {verb} last" in refuse_in_one_line(verb, *words)
    assert "no such run" in refuse_in_one_line(verb, "77aa00", *words)
    assert not live.seen


@pytest.mark.parametrize("verb", STEERING)
def test_a_refusal_of_the_run_is_one_line_and_exit_code_1(verb: str, live: LiveRun) -> None:
    live.answer = lambda _: {"ok": False, "error": "lr: no\x1b way"}
    assert refuse_in_one_line(verb, "last", *WORDS.get(verb, []), code=1) == "last: lr: no\\x1b way"


@pytest.mark.parametrize("verb", STEERING)
@pytest.mark.parametrize(
    ("status", "meant"),
    [("finished", "has finished and cannot be steered; `hpo-run "),
     ("failed", "has failed and cannot be steered; `hpo-run resume=last"),
     ("interrupted", "was interrupted and cannot be steered; `hpo-run resume=last"),
     ("running", "does not listen yet")],
)  # fmt: skip
def test_a_run_that_is_not_live_says_so_at_once(outputs: Path, verb: str, status: str, meant: str) -> None:
    folder = run_folder(outputs, status=status)
    begin = time.monotonic()
    assert meant in refuse_in_one_line(verb, "last", *WORDS.get(verb, []), code=1)
    assert time.monotonic() - begin < 5
    assert not (folder / "control" / "inbox").exists()


def test_a_run_whose_process_is_gone_has_died(outputs: Path, folder: Path) -> None:
    child = os.fork()
    if child == 0:
        from hpo_cli.record.lease import Lease

        Lease.acquire(folder)
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    text = refuse_in_one_line("nudge", "last", "lr*=0.5", "epochs=30", code=1)
    assert text == (
        "last: has died (its process is gone) and cannot be steered; "
        "`hpo-run resume=last 'lr*=0.5' epochs=30` goes on, `hpo-run branch last lr=... epochs=30` makes a child"
    )


def test_an_end_tells_what_can_be_done_instead(outputs: Path) -> None:
    run_folder(outputs, status="finished")
    nudge = refuse("nudge", "last", "lr=0.5", code=1)
    assert "`hpo-run resume=last lr=0.5 epochs+=10` goes on, `hpo-run branch last lr=0.5` makes a child" in nudge
    assert "`hpo-run resume=last epochs+=5` goes on" in refuse("nudge", "last", "epochs+=5", code=1)
    back = refuse("rollback", "last", "--to", "tag=good", code=1)
    assert back.strip().endswith("cannot be steered; `hpo-run branch last --at tag=good` makes a child there")


def test_what_is_so_already_is_said_and_not_sent(live: LiveRun) -> None:
    answer = call("nudge", "last", "lr=1e-3", "optimizer.eps=1e-8")
    assert (answer.code, answer.err) == (0, "")
    assert answer.out == "lr is 0.001 already; nothing was sent\noptimizer.eps is 1e-08 already; nothing was sent\n"
    assert json.loads(call("nudge", "last", "lr*=1", "--json").out)["said"] == ["lr is 0.001 already"]
    assert not live.seen
    assert call("nudge", "last", "lr=1e-3", "batch_size=64").out == "lr is 0.001 already\nnudge done\n"
    assert live.seen.pop().args == {"changes": {"batch_size": ["=", 64]}}
    assert sent(live, "nudge", "last", "lr=1e-3", "--at", "step=2000").args["due"] == {"step": 2000}


def test_a_wrong_value_is_told_beside_an_unknown_key(live: LiveRun) -> None:
    lines = refuse("nudge", "last", "regularization.dropout=2", "zzz=1", "lr=-1").splitlines()
    assert {line.partition(":")[0] for line in lines} == {"regularization.dropout=2", "zzz", "lr=-1"}


def test_a_key_of_another_schedule_names_the_words_that_have_it(outputs: Path) -> None:
    with LiveRun(run_folder(outputs, "schedule=constant")) as live:
        text = refuse("nudge", "last", "schedule.floor=0.1")
        assert "write schedule=cosine schedule.floor=0.1" in text
        assert not live.seen


def test_a_place_before_the_start_is_refused_here(live: LiveRun) -> None:
    live.beat(step=500, steps_per_second=10.0)
    assert "the run began at step 0" in refuse_in_one_line("rollback", "last", "--to", "-999999999")
    assert not live.seen
    assert sent(live, "rollback", "last", "--to", "-600").args["to"] == {"back": 600}  # it may be further by now
    assert sent(live, "rollback", "last", "--to", "step=900").args["to"] == {"step": 900}


def test_a_tag_that_is_taken_is_refused_here(folder: Path, live: LiveRun) -> None:
    append(folder, "checkpointed", step=30, file="checkpoints/kept-30.pt", tag="good", line=["n1"], kept=True)
    append(folder, "checkpointed", step=20, file="checkpoints/kept-20.pt", tag="fine", line=[], kept=True)
    dead = refuse_in_one_line("checkpoint", "last", "--tag", "good")
    assert dead == (
        "--tag good: is taken (step 30, of a line that a rollback abandoned), and nothing saved is overwritten; "
        "give another name, such as good-2"
    )
    assert "is taken (step 20), and" in refuse_in_one_line("checkpoint", "last", "--tag", "fine")
    assert not live.seen


def test_who_waits_for_a_run_that_goes_back_is_told_so(live: LiveRun) -> None:
    live.answer = lambda _: None
    live.beat(step=41000, catching_up=45000)
    waiting = call("nudge", "last", "lr=1", "--timeout", "0.3").err.splitlines()[0]
    assert waiting == (
        "waiting for last to answer, which is going back to step 45000: at step 41000; Ctrl-C takes it back"
    )


def test_the_step_of_an_answer_is_that_of_the_ledger(folder: Path, live: LiveRun) -> None:
    def answer(command: Command) -> dict[str, Any]:
        append(folder, "nudged", step=39, id=command.id, knobs={"lr": {"old": 0.001, "new": 0.1}}, who="", why="")
        return {"ok": True, "step": 40, "said": ["step 39: lr 0.001 -> 0.1"]}

    live.answer = answer
    assert json.loads(call("nudge", "last", "lr=0.1", "--json").out)["step"] == 39


def test_a_run_that_does_not_answer(live: LiveRun) -> None:
    live.answer = lambda _: None
    answer = call("nudge", "last", "lr=1", "--timeout", "0.3")
    assert (answer.code, answer.out) == (1, "")
    waiting, failed = answer.err.splitlines()
    assert waiting == "waiting for last to answer at its next step; Ctrl-C takes it back"
    assert failed == "last: no answer within 0.3 s; the command was taken back; --timeout waits longer"
    assert not Inbox(live.folder).pending()


def test_what_took_force_before_it_could_be_taken_back_is_told(live: LiveRun) -> None:
    def obey(command: Command) -> None:
        append(live.folder, "nudged", step=3, id=command.id, knobs={})

    live.answer = obey
    answer = call("nudge", "last", "lr=1", "--timeout", "0.3")
    assert answer.code == 1
    assert "the command was taken already: hpo-run show last" in answer.err


def test_a_run_that_ends_is_not_waited_for(live: LiveRun) -> None:
    live.answer = lambda _: live.end()
    begin = time.monotonic()
    answer = call("pause", "last")
    assert answer.code == 1
    assert "cannot be steered" in answer.err
    assert "the command was taken back" in answer.err
    assert time.monotonic() - begin < 20


def test_a_paused_run_is_said_to_be(live: LiveRun) -> None:
    live.pause()
    live.answer = lambda _: None
    assert "next step, it is paused; Ctrl-C" in call("nudge", "last", "lr=1", "--timeout", "0.3").err


@pytest.fixture
def _usual_ctrl_c() -> Iterator[None]:
    """A run that an earlier test trained in this process has its own handler, and a background job has none."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("_usual_ctrl_c")
def test_ctrl_c_takes_the_command_back(live: LiveRun) -> None:
    live.answer = lambda _: None
    threading.Timer(0.5, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
    answer = call("nudge", "last", "lr=1")
    assert answer.code == 130
    assert answer.err.endswith("the command was taken back\n")
    assert not Inbox(live.folder).pending()


def test_json_for_another_program(live: LiveRun) -> None:
    found = json.loads(call("pause", "last", "--json").out)
    assert (found["ok"], found["step"], found["said"]) == (True, 40, ["pause done"])
    name = json.loads(call("pause", "last", "--json", "--no-wait").out)["id"]
    assert call("pause", "last", "--no-wait").out.startswith("sent ")
    assert len(name) == 29
    live.answer = lambda _: {"ok": False, "error": "no"}
    answer = call("pause", "last", "--json")
    assert (answer.code, json.loads(answer.out)["error"], answer.err) == (1, "no", "last: no\n")


def test_two_people_are_both_heard(live: LiveRun) -> None:
    people = [threading.Thread(target=lambda: sending.send(live.folder, "pause", {})) for _ in range(2)]
    for person in people:
        person.start()
    for person in people:
        person.join()
    call("unpause", "last")
    assert [command.verb for command in live.seen] == ["pause", "pause", "unpause"]


@pytest.mark.parametrize("verb", STEERING)
def test_help_tells_what_is_taken(verb: str) -> None:
    text = call(verb, "--help").out
    assert f"usage: hpo-run {verb} RUN" in text
    assert "--why" in text
    assert ("regularization.clip_norm" in text) == (verb == "nudge")
