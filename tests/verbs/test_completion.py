"""Completion: scripts that shells accept, and answers that fit verbs, groups, options, keys and runs."""

from __future__ import annotations

import os
import pty
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hpo_cli.cli import VERBS
from hpo_cli.options import GROUPS, list_options
from hpo_cli.record.ledger import append
from hpo_cli.steer.hot import HOT
from hpo_cli.verbs.completion import CHILD_VERBS, KNOB_VERBS, SCRIPTS, STEERING_VERBS, answers
from tests.command_line import REPOSITORY, call, refuse_in_one_line

SHELLS = {"bash": ["bash", "-n"], "zsh": ["zsh", "-n"], "fish": ["fish", "--no-execute"]}


def test_verbs_words_and_groups_come_first() -> None:
    first = answers("hpo-run ")
    assert set(VERBS) <= first
    assert {"lr=", "epochs=", "optimizer=", "optimizer.", "data.", "checkpoint."} <= first
    assert answers("hpo-run opt") == {"optimizer=", "optimizer."}
    assert answers("hpo-run sh") == {"show"}
    assert not set(VERBS) & answers("hpo-run lr=1 ")


@pytest.mark.parametrize("group", GROUPS)
def test_options_of_a_group(group: str) -> None:
    assert answers(f"hpo-run {group}=") == {f"{group}={name}" for name in list_options(group)}


def test_keys_of_the_chosen_option() -> None:
    assert "optimizer.momentum=" in answers("hpo-run optimizer=sgd optimizer.")
    assert "optimizer.momentum=" not in answers("hpo-run optimizer=adam optimizer.")
    assert "optimizer.momentum=" in answers("hpo-run optimizer.")
    assert answers("hpo-run data.val") == {"data.val_fraction="}
    assert answers("hpo-run checkpoint.keep_b") == {"checkpoint.keep_best="}
    assert answers("hpo-run check optimizer=sg") == {"optimizer=sgd"}


@pytest.mark.parametrize("text", ["", " ", "hpo-run", "hpo-run lr=1", "hpo-run nope.", "hpo-run a.b.c=", "hpo-run ls "])
def test_odd_lines_are_answered_without_complaint(text: str) -> None:
    assert isinstance(answers(text), set)
    assert answers("hpo-run nope.") == answers("hpo-run ls ") == set()


def test_runs_are_offered_to_the_verbs_that_take_one(outputs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HPO_RUN_OUTPUTS", str(outputs))
    assert answers("hpo-run show ") == {"last", "best", "3f9c12", "a1b2c3", "77aa00"}
    assert answers("hpo-run diff last 3f") == {"3f9c12"}
    assert answers("hpo-run curves 77") == {"77aa00"}


def test_steering_verbs_take_a_run_and_then_its_knobs(outputs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HPO_RUN_OUTPUTS", str(outputs))
    for verb in (*STEERING_VERBS, *KNOB_VERBS, *CHILD_VERBS):
        assert answers(f"hpo-run {verb} 3f") == {"3f9c12"}
    assert {f"{key}=" for key in HOT} == answers("hpo-run nudge last ")
    assert answers("hpo-run nudge last schedule=cos") == {"schedule=cosine"}
    assert {"schedule.floor=", "schedule.warmup_steps="} <= answers("hpo-run nudge last schedule.")
    assert not {"schedule._target_=", "schedule.nudges="} & answers("hpo-run nudge last schedule.")
    assert answers("hpo-run branch last optimizer=sg") == {"optimizer=sgd"}
    assert answers("hpo-run pause last ") == set()


def test_places_in_a_past_are_offered_with_their_tags(outputs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HPO_RUN_OUTPUTS", str(outputs))
    append(outputs / "digits" / "3f9c12", "checkpointed", step=200, file="checkpoints/kept.pt", line=[], tag="good")
    assert answers("hpo-run rollback 3f9c12 --to ") == {"step=", "epoch=", "tag=", "best"}
    assert answers("hpo-run rollback 3f9c12 --to tag=g") == {"tag=good"}
    assert answers("hpo-run branch 3f9c12 --at tag=") == {"tag=", "tag=good"}
    assert answers("hpo-run rollback nope --to tag=") == {"tag="}


def test_the_command_prints_scripts_and_answers() -> None:
    for shell, script in SCRIPTS.items():
        assert call("completion", shell).out == script
    assert call("completion", "--line", "hpo-run opt").out == "optimizer.\noptimizer=\n"
    assert "tcsh" in refuse_in_one_line("completion", "tcsh")


@pytest.mark.parametrize("shell", SHELLS)
def test_the_script_is_valid(shell: str, tmp_path: Path) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"no {shell} here")
    (tmp_path / "script").write_text(SCRIPTS[shell])
    done = subprocess.run([*SHELLS[shell], "script"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


BASH = f"""
hpo-run() {{ "{sys.executable}" -m hpo_cli.cli "$@"; }}
export PYTHONPATH="{REPOSITORY}"
eval "$(hpo-run completion bash)"
"""
ASK = """
compopt() { :; }
COMP_LINE="$1"; COMP_POINT=${#COMP_LINE}
_hpo_run
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("hpo-run schedule=c", ["schedule=constant", "schedule=cosine", "schedule=cyclical"]),
        ("hpo-run optimizer=sgd optimizer.mom", ["optimizer.momentum="]),
        ("hpo-run cur", ["curves"]),
    ],
)
def test_bash_completes(line: str, expected: list[str], tmp_path: Path) -> None:
    if shutil.which("bash") is None:
        pytest.skip("no bash here")
    command = ["bash", "--norc", "-c", BASH + ASK, "bash", line]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert done.stdout.splitlines() == expected


def test_bash_completes_in_a_terminal(tmp_path: Path) -> None:
    if shutil.which("bash") is None:
        pytest.skip("no bash here")
    (tmp_path / "rc").write_text(BASH + "PS1='ready> '\nbind 'set enable-bracketed-paste off'\n")
    terminal, inside = pty.openpty()
    bash = subprocess.Popen(
        ["bash", "--rcfile", "rc", "-i"], cwd=tmp_path, env={**os.environ, "TERM": "dumb"}, start_new_session=True,
        stdin=inside, stdout=inside, stderr=inside,
    )  # fmt: skip
    try:
        read_until(terminal, "ready> ")
        os.write(terminal, b"hpo-run schedule=cosi\t")
        read_until(terminal, "hpo-run schedule=cosine ")
        os.write(terminal, b"model.wid\t")
        read_until(terminal, "model.width=")
        os.write(terminal, b"64")
        read_until(terminal, "64")
    finally:
        bash.kill()
        bash.wait()
        os.close(terminal)
        os.close(inside)


def read_until(terminal: int, text: str) -> None:
    """Wait for a text, which must be the last that the terminal shows."""
    found, deadline = "", time.monotonic() + 60
    while not found.endswith(text):
        if not select.select([terminal], [], [], max(0.0, deadline - time.monotonic()))[0]:
            pytest.fail(f"no {text!r} in {found!r}")
        found += os.read(terminal, 4096).decode()


def test_ways_to_sweep_are_offered_behind_m() -> None:
    assert {"sweep=", "sweep."} <= answers("hpo-run -m ")
    assert "sweep=" not in answers("hpo-run lr=1 ")
    assert "sweep=asha" in answers("hpo-run -m sweep=")
    assert answers("hpo-run -m sweep.trial") == {"sweep.trials="}
