import os
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpo_cli.record.details import command_line, read_details
from hpo_cli.verbs import show
from tests.run_folders import Run, make_run


def test_a_page_says_what_it_was_and_what_came_of_it(printed: Callable[..., str]) -> None:
    page = printed(show, "3f9c12")
    for words in (
        "digits 3f9c12  finished",
        "optimizer=adam schedule=constant model=mlp data=digits",
        "lr=0.001 batch_size=32 epochs=20 seed=0",
        "took 12.3 s, 20 epochs, 800 steps",
        "train 1245, val 192, test 360",
        "torch 2.11.0",
        "git 0123456789 (with changes)",
        "checkpoints/last.ckpt  step 200, epoch 4",
        "objective (max)",
    ):
        assert words in page
    assert page.splitlines()[-1] == "  hpo-run optimizer=adam name=digits"


def test_the_newest_run_is_shown_by_default(printed: Callable[..., str]) -> None:
    assert printed(show) == printed(show, "3f9c12")


def test_a_failed_run_says_why(printed: Callable[..., str]) -> None:
    page = printed(show, "77aa00")
    assert "failed  train/loss was nan at step 123" in page
    assert "RunFailedError: train/loss was nan" in page
    assert page.count("frame") < 20


def test_warnings_tests_and_torn_lines_are_shown(printed: Callable[..., str], outputs: Path) -> None:
    with (outputs / "digits" / "3f9c12" / "ledger.jsonl").open("a") as file:
        file.write('{"event": "warned", "step": 7, "what": "val loss rises"}\n')
        file.write(
            '{"event": "tested", "step": 800, "split": "test", "metrics": {"accuracy": 0.97}, "checkpoint": "best"}\n'
        )
        file.write('{"event": "torn')
    page = printed(show, "3f9c12")
    assert "step 7: val loss rises" in page
    assert "test split: accuracy 0.97  (checkpoint best)" in page
    assert '{"event": "torn' in page


def test_the_command_is_quoted_and_placed(tmp_path: Path) -> None:
    words = ("data.path=my file.csv", "tags=[a,b]", "name=$(reboot)")
    details = read_details(make_run(tmp_path, Run(overrides=words, cwd="/home/ada/my work")))
    elsewhere = command_line(details, cwd=str(tmp_path))
    assert elsewhere.startswith("cd '/home/ada/my work' && hpo-run ")
    assert shlex.split(elsewhere)[4:7] == list(words)
    here = read_details(make_run(tmp_path, Run(id="bbbbbb", cwd=str(tmp_path))))
    assert command_line(here, cwd=str(tmp_path)) == "hpo-run optimizer=adam name=digits"


@settings(max_examples=30, deadline=None)
@given(st.lists(st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=8), min_size=1, max_size=3))
def test_bash_reads_the_command_back(words: list[str]) -> None:
    folder = Path(tempfile.mkdtemp())
    record = read_details(make_run(folder, Run(cwd=str(folder))))
    shutil.rmtree(folder)
    line = command_line(replace(record, command=("printf", "%s\\0", *words)), cwd=str(folder))
    assert line.isprintable()
    child = subprocess.run(["bash", "-c", line], capture_output=True, check=True)
    assert child.stdout == "".join(f"{word}\0" for word in words).encode()


def test_json_is_complete(answered: Callable[..., Any]) -> None:
    found = answered(show, "a1b2c3")
    assert found["plan"]["optimizer"]["momentum"] == 0.9
    assert found["data"]["train"] == 1245
    assert found["started_event"]["environment"]["cores"] == 8
    assert [event["file"] for event in found["checkpoints"]] == ["checkpoints/last.ckpt"]
    assert found["best"]["val/accuracy"]["value"] == 0.981
    assert "optimizer.momentum=0.9" in found["command"]
    assert found["error"] == found["tests"] == found["warnings"] == []


def test_a_live_run_shows_its_best_so_far(printed: Callable[..., str], outputs: Path) -> None:
    make_run(outputs, Run(id="eeeeee", status="running", epochs=5, value=0.6, minutes_old=0))
    page = printed(show, "eeeeee")
    assert "running" in page
    row = next(line for line in page.splitlines() if "val/accuracy" in line)
    assert row.split()[1:3] == ["0.6", "0.6"]


def test_a_silent_run_is_doubted(printed: Callable[..., str], outputs: Path) -> None:
    folder = make_run(outputs, Run(id="eeeeee", status="running"))
    for file in ("ledger.jsonl", "metrics.jsonl"):
        os.utime(folder / file, (1, 1))
    assert "running?  nothing written for five minutes" in printed(show, "eeeeee")


def test_control_characters_do_not_reach_the_terminal(printed: Callable[..., str], outputs: Path) -> None:
    make_run(outputs, Run(id="eeeeee", overrides=("name=\x1b[31mred\n",)))
    assert "\x1b" not in "\n".join(printed(show, "eeeeee").splitlines())


@pytest.mark.parametrize("columns", ["40", "80", "200"])
def test_a_narrow_terminal_breaks_between_words(
    printed: Callable[..., str], monkeypatch: pytest.MonkeyPatch, columns: str
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", columns)
    assert "schedule=constant" in printed(show, "3f9c12")
