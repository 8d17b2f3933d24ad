import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hpo_cli.steer.commands import acknowledge
from hpo_cli.verbs import watch
from tests.live_run import append_rows, held, make_live_run, row_at
from tests.run_folders import Run, add_events, make_run
from tests.terminal import ENTERED, LEFT, Terminal, terminal

START = "import sys; from hpo_cli.cli import main; "
CODE = f"{START}sys.exit(main(sys.argv[1:]))"

SHELL = """
import subprocess, sys
child = subprocess.Popen(sys.argv[1:], process_group=0)
print("pid", child.pid, flush=True)
sys.exit(child.wait())
"""  # a session's own group is never stopped: it would have nobody to wake it


def command(folder: Path, *more: str) -> list[str]:
    return [sys.executable, "-c", CODE, "watch", str(folder), *more]


@pytest.fixture
def live(tmp_path: Path) -> Iterator[Path]:
    folder = make_live_run(tmp_path)
    append_rows(folder, [row_at(step) for step in range(1, 201)])
    with held(folder) as lease:
        lease.beat(step=200, epoch=5)
        yield folder


def sent(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in sorted((folder / "control" / "inbox").glob("*.json"))]


def is_as_before(own: Terminal) -> bool:
    return own.settings == own.before and own.raw.rindex(LEFT) > own.raw.rindex(ENTERED)


def test_a_pipe_gets_one_frame_of_plain_text(printed: Callable[..., str]) -> None:
    text = printed(watch, "3f9c12")
    assert text.startswith(" digits 3f9c12  finished")
    assert "best      0.9772" in text
    assert "\x1b" not in text
    assert max(map(len, text.splitlines())) <= 80
    assert len(text.splitlines()) <= 24
    assert printed(watch, "3f9c12", "--once") == text


def test_a_pipe_that_cannot_draw_gets_ascii(live: Path) -> None:
    child = subprocess.run(
        command(live), capture_output=True, check=True, env={**os.environ, "PYTHONIOENCODING": "ascii"}
    )
    assert b"digits 3f9c12  running" in child.stdout
    assert child.stdout.isascii()
    assert b"\\u" not in child.stdout


def test_json_gives_the_state(answered: Callable[..., Any]) -> None:
    state = answered(watch, "3f9c12")
    assert (state["id"], state["status"], state["step"]) == ("3f9c12", "finished", 800)
    assert state["best"] == pytest.approx(0.9772)
    assert state["last"]["lr"] == 0.001


def test_a_nudge_is_asked_once_sent_and_its_answer_shown(live: Path) -> None:
    with terminal(command(live)) as own:
        own.see("q quit")
        assert len(own.screen()) == 24
        own.press("n")
        own.see("enter go on")
        own.press("lr/=4\r")
        own.see("nudge lr 0.001 -> 0.00025 at the next step ? (y/n)")
        assert not sent(live)
        own.press("y")
        own.wait(lambda: sent(live), "the command")
        (one,) = sent(live)
        assert (one["verb"], one["args"]) == ("nudge", {"changes": {"lr": ["/=", 4]}})
        own.see("nudge sent, waiting")
        acknowledge(live, one["id"], ok=True, step=201, knobs={"lr": {"old": 0.001, "new": 0.00025}}, lr=0.00025)
        own.see("step 201: lr 0.001 -> 0.00025")
        own.press("q")
        assert own.end() == 0
        assert is_as_before(own)


def test_a_refusal_is_shown_and_the_view_goes_on(live: Path) -> None:
    with terminal(command(live)) as own:
        own.see("q quit")
        own.press("p")
        own.see("(y/n)")
        own.press("y")
        own.wait(lambda: sent(live), "the command")
        append_rows(live, [row_at(step) for step in range(201, 241)])
        own.see("step 240/4000")
        acknowledge(live, sent(live)[0]["id"], ok=False, error="not while it validates")
        own.see("refused  pause: not while it validates")


@pytest.mark.parametrize(
    ("keys", "asked", "verb", "args"),
    [
        ("r-50\r", "go back to step 150; the 50 steps", "rollback", {"back": 50}),
        ("rbest\r", "go back to step 200", "rollback", {"best": True}),
        ("tgood\r", "keep it as good", "checkpoint", "good"),
        ("s", "end the run", "stop", None),
    ],
)
def test_other_keys_ask_once_too(live: Path, keys: str, asked: str, verb: str, args: Any) -> None:
    with terminal(command(live)) as own:
        own.see("q quit")
        own.press(keys)
        own.see(asked)
        own.press("y")
        own.wait(lambda: sent(live), "the command")
        (one,) = sent(live)
        assert one["verb"] == verb
        assert args in (None, *one["args"].values())


def test_what_cannot_be_done_is_refused_before_it_is_sent(live: Path) -> None:
    with terminal(command(live)) as own:
        own.see("q quit")
        own.press("nmodel.depth=9\r")
        own.see("hpo-run branch")
        own.press("\x1b")
        own.see("n nudge")
        own.press("rstep=900\r")
        own.see("lies ahead")
        assert not sent(live)


def test_on_a_finished_run_keys_explain_themselves(tmp_path: Path) -> None:
    folder = make_run(tmp_path, Run())
    with terminal(command(folder)) as own:
        own.see("finished")
        own.press("n")
        own.see("this run has ended: hpo-run")
        own.press("q")
        assert own.end() == 0
    assert not (folder / "control").exists()


def test_a_run_that_ends_while_it_is_watched_is_seen_to_end(live: Path) -> None:
    with terminal(command(live)) as own:
        own.see("running")
        add_events(live, {"event": "finished", "step": 200})
        own.see("finished")


def test_a_new_size_is_filled(live: Path) -> None:
    with terminal(command(live)) as own:
        own.see("q quit")
        own.resize(120, 40)
        own.process.send_signal(signal.SIGWINCH)
        own.wait(lambda: len(own.screen()) == 40 and own.screen()[39].endswith("q quit"), "forty lines")
        own.resize(60, 12)
        own.process.send_signal(signal.SIGWINCH)
        own.wait(lambda: own.screen()[11].endswith("…"), "twelve lines")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_the_terminal_is_given_back_whatever_ends_it(live: Path, number: signal.Signals, code: int) -> None:
    with terminal(command(live)) as own:
        own.see("q quit")
        assert own.settings != own.before
        own.process.send_signal(number)
        assert own.end() == code
        assert is_as_before(own)


def test_an_error_gives_the_terminal_back_too(live: Path) -> None:
    broken = f"from hpo_cli.verbs import watch_desk; watch_desk.frame = None; {CODE}"
    with terminal([sys.executable, "-c", broken, "watch", str(live)]) as own:
        assert own.end() == 1
        assert is_as_before(own)
        assert "internal error" in own.raw


def test_a_stopped_watcher_gives_the_terminal_back_until_it_goes_on(live: Path) -> None:
    with terminal([sys.executable, "-c", SHELL, *command(live)]) as own:
        own.see("q quit")
        pid = int(own.raw.partition("pid ")[2].split()[0])
        os.kill(pid, signal.SIGTSTP)
        own.wait(lambda: LEFT in own.raw, "the other screen")
        own.wait(lambda: own.settings == own.before, "the settings of before")
        time.sleep(0.1)
        os.kill(pid, signal.SIGCONT)
        own.wait(lambda: own.raw.rindex(ENTERED) > own.raw.rindex(LEFT), "the screen again")
        own.see("q quit")
        own.press("q")
        assert own.end() == 0


@pytest.mark.parametrize("variables", [{"NO_COLOR": "1"}, {"PYTHONIOENCODING": "ascii"}])
def test_plain_terminals_are_served(live: Path, variables: dict[str, str]) -> None:
    with terminal(command(live), **variables) as own:
        own.see("q quit")
        if "NO_COLOR" in variables:
            assert "\x1b[96m" not in own.raw
            assert ";96m" not in own.raw
        else:
            assert own.raw.isascii()


def test_nothing_is_sent_twice_when_nothing_changed(live: Path) -> None:
    with terminal(command(live)) as own:
        own.see("q quit")
        own.read(0.6)
        before = len(own.raw)
        for _ in range(30):
            own.read(0.05)
        assert len(own.raw) - before < 200


def test_nothing_heavy_is_imported_to_watch(live: Path) -> None:
    code = f"{START}main(sys.argv[1:]); print(sorted({{name.partition('.')[0] for name in sys.modules}}))"
    child = subprocess.run([sys.executable, "-c", code, "watch", str(live)], capture_output=True, text=True, check=True)
    loaded = set(json.loads(child.stdout.splitlines()[-1].replace("'", '"')))
    assert "hpo_cli" in loaded
    assert not loaded & {"torch", "lightning", "pytorch_lightning", "hydra", "omegaconf", "numpy", "sklearn"}
