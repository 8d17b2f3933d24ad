"""Signals: the state is on disk first, then the exit code says which."""

from __future__ import annotations

import signal
import threading
from typing import TYPE_CHECKING

import pytest

from hpo_cli.engine import checkpoints
from hpo_cli.engine.stop import StopFlag, StoppedError
from tests.engine.commands import start_command
from tests.engine.plans import finish, new_loop, plan, trained, varied, weights_of

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
def test_a_signal_leaves_a_run_that_can_go_on(number: signal.Signals, tmp_path: Path) -> None:
    words = ("model.width=16", "data.subset=0.2", "regularization.dropout=0.2")
    command = start_command(tmp_path / "run", "trainer=cpu", "epochs=100000", *words)
    command.wait_for_rows(3)
    assert command.signal(number) == 128 + number, command.output()
    assert "Traceback" not in command.output()
    result, last, state = command.result, command.events[-1], command.state()
    assert (result["status"], last["event"], last["signal"]) == ("interrupted", "interrupted", number.name)
    assert result["steps"] == last["step"] == state["position"]["step"] > 0
    assert checkpoints.weights_sha256(state["model"].items()) == result["weights_sha256"]
    assert command.rows[-1]["step"] <= result["steps"]
    state["knobs"]["epochs"] = state["position"]["epoch"] + 1
    resumed = new_loop(varied(plan("epochs=100000", *words), "", epochs=state["knobs"]["epochs"]))
    resumed.restore(state)
    assert finish(resumed).position.epoch == state["knobs"]["epochs"]


def test_a_flag_notes_the_signal_and_interrupts_at_the_second_ctrl_c() -> None:
    flag = StopFlag()
    flag._note(signal.SIGTERM, None)
    assert flag.signum == signal.SIGTERM
    flag._note(signal.SIGINT, None)
    assert flag.signum == signal.SIGINT
    with pytest.raises(StoppedError) as caught:
        flag._note(signal.SIGINT, None)
    assert caught.value.exit_code == 130


def test_two_sigterms_are_still_polite() -> None:
    flag = StopFlag()
    for _ in range(2):
        flag._note(signal.SIGTERM, None)
    assert StoppedError(flag.signum or 0).exit_code == 143


def test_outside_the_main_thread_the_handlers_of_the_caller_stay() -> None:
    before = signal.getsignal(signal.SIGTERM)
    flag = StopFlag()
    thread = threading.Thread(target=flag.install)
    thread.start()
    thread.join()
    assert signal.getsignal(signal.SIGTERM) is before
    flag.install()
    assert signal.getsignal(signal.SIGTERM) == flag._note


def test_a_loop_that_is_not_asked_does_not_stop() -> None:
    assert trained(plan("data.subset=0.1", "epochs=1", "model.width=16")).finished


def test_the_weights_of_a_stopped_run_are_those_of_its_step() -> None:
    made = plan("data.subset=0.1", "epochs=1", "model.width=16")
    loop, other, stop = new_loop(made), new_loop(made), StopFlag()
    stop.signum = signal.SIGTERM
    with pytest.raises(StoppedError):
        loop.advance(100, stop)
    other.begin()
    other.advance(1, StopFlag())
    assert weights_of(loop) == weights_of(other)
