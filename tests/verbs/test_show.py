import json
import os
import shlex
import shutil
import socket
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
from hpo_cli.record.ledger import append
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


def saved(folder: Path, name: str, *, step: int, **fields: object) -> None:
    """A checkpoint with its line in the ledger."""
    (folder / "checkpoints" / name).write_bytes(b"x")
    append(
        folder, "checkpointed", step=step, file=f"checkpoints/{name}", sha256="", line=[], epoch=step // 40, **fields
    )


def lines_of(page: str, label: str, number: int) -> list[str]:
    """A field's lines without their label."""
    lines = page.splitlines()
    first = next(index for index, line in enumerate(lines) if line.startswith(f"  {label}"))
    return [line[15:] for line in lines[first : first + number]]


def test_checkpoints_are_those_on_disk_once_each_the_newest_last(printed: Callable[..., str], outputs: Path) -> None:
    folder = outputs / "digits" / "3f9c12"
    for step in (40, 80, 120):
        saved(folder, f"step-{step:08d}.pt", step=step)
    saved(folder, "step-00000080.pt", step=80)  # saved again after a rollback
    saved(folder, "kept-00000060-good.pt", step=60, tag="good", kept=True)
    saved(folder, "best-00000040.pt", step=40)
    saved(folder, "best-00000080.pt", step=80)
    (folder / "checkpoints" / "step-00000040.pt").unlink()
    (folder / "checkpoints" / "abandoned-00000300").mkdir()
    (folder / "checkpoints" / "abandoned-00000300" / "step-00000300.pt").touch()
    (folder / "checkpoints" / "step-00000090.pt.damaged").touch()
    (folder / "checkpoints" / ".step-00000200.pt.tmp").touch()
    assert lines_of(printed(show, "3f9c12"), "checkpoints", 7) == [
        "checkpoints/abandoned-00000300/  [1 file that a rollback left]",
        "checkpoints/best-00000040.pt  step 40, epoch 1",
        "checkpoints/kept-00000060-good.pt  step 60, epoch 1  [tag good]",
        "checkpoints/best-00000080.pt  step 80, epoch 2  [best]",
        "checkpoints/step-00000080.pt  step 80, epoch 2",
        "checkpoints/step-00000090.pt.damaged  step 90  [damaged]",
        "checkpoints/step-00000120.pt  step 120, epoch 3",
    ]


def test_the_best_is_shown_however_old_it_is(printed: Callable[..., str], outputs: Path) -> None:
    folder = outputs / "digits" / "3f9c12"
    saved(folder, "best-00000010.pt", step=10)
    for step in range(40, 1000, 40):
        saved(folder, f"step-{step:08d}.pt", step=step)
    lines = lines_of(printed(show, "3f9c12"), "checkpoints", 10)
    assert lines[:2] == ["16 earlier ones", "checkpoints/best-00000010.pt  step 10, epoch 0  [best]"]
    assert lines[-1].startswith("checkpoints/step-00000960.pt")


def test_what_waits_has_a_block_of_its_own(
    printed: Callable[..., str], answered: Callable[..., Any], outputs: Path
) -> None:
    cosine = {"option": "cosine", "_target_": "x.cosine", "floor": 0.2}
    plan = (("schedule", {"nudges": [{"at": 0.5, "lr": 1e-4}, {"at": 0.75, "schedule": cosine}]}),)
    folder = make_run(outputs, Run(id="abcabc", status="running", plan=plan, minutes_old=0))
    who = {"who": "ada@laptop", "why": ""}
    for end, step in (("0000aaaa", 900), ("0000bbbb", 950), ("0000cccc", 990)):
        changes = {"lr": ["*=", 0.9], "schedule": ["=", cosine]}
        append(folder, "scheduled", step=40, id=f"1-{end}", due={"step": step}, do="nudge", changes=changes, **who)
    append(folder, "scheduled", step=40, id="1-0000dddd", due={"epoch": 5}, do="stop", changes={}, **who)
    append(folder, "fulfilled", step=200, scheduled="1-0000dddd")
    append(folder, "cancelled", step=40, scheduled="1-0000bbbb", who="bob@lab")
    append(folder, "nudged", step=900, id="n1", scheduled="1-0000aaaa", knobs={"lr": {"old": 1, "new": 0.9}}, **who)
    back = {"to": 900, "line": ["n1"], "changes": {"lr": ["=", 0.5]}, "who": "ada@laptop", "why": "too high"}
    append(folder, "rolled_back", step=920, id="1-0000eeee", **back)
    append(folder, "nudged", step=950, id="n2", scheduled="planned-0", knobs={"lr": {"old": 1, "new": 0.9}}, **who)
    page = printed(show, "abcabc")
    typed = "lr*=0.9 schedule=cosine schedule.floor=0.2"
    assert lines_of(page, "waits", 3) == [
        f"0000cccc  at step 990: nudge {typed}  (ada@laptop)",
        "0000eeee  at step 900: nudge lr=0.5  (ada@laptop: too high)",
        "planned-1  at 75 % of training: nudge schedule=cosine schedule.floor=0.2  (schedule)",
    ]
    for line in (
        f"step 40: asked for: nudge {typed} at step 900  (ada@laptop)  [done]",
        f"step 40: asked for: nudge {typed} at step 950  (ada@laptop)  [cancelled]",
        f"step 40: asked for: nudge {typed} at step 990  (ada@laptop)  [waits]",
        "step 40: asked for: stop at epoch 5  (ada@laptop)  [done]",
        "step 200: done as asked: stop at epoch 5",
        f"step 40: cancelled: nudge {typed} at step 950  (bob@lab)",
    ):
        assert line in page
    assert [one["name"] for one in answered(show, "abcabc")["waits"]] == ["0000cccc", "0000eeee", "planned-1"]


def test_damaged_lines_of_the_ledger_are_told_once(printed: Callable[..., str], outputs: Path) -> None:
    with (outputs / "digits" / "3f9c12" / "ledger.jsonl").open("a") as file:
        file.write("torn\n" * 30)
    assert lines_of(printed(show, "3f9c12"), "set aside", 1) == ["30 lines of the ledger are none, such as: torn"]


def test_a_schedule_is_told_with_its_keys(printed: Callable[..., str], outputs: Path) -> None:
    old, new = ({"option": "cosine", "_target_": "x", "floor": floor} for floor in (0.0, 0.2))
    knobs = {"schedule": {"old": old, "new": new}}
    folder = outputs / "digits" / "3f9c12"
    append(folder, "nudged", step=40, id="n1", knobs=knobs, who="ada@laptop", why="")
    page = printed(show, "3f9c12")
    assert "step 40: schedule cosine floor=0 -> cosine floor=0.2  (ada@laptop)" in page
    assert "nudged to    schedule=cosine schedule.floor=0.2\n" in page


def test_a_folder_in_which_nobody_has_trained_is_not_started(printed: Callable[..., str], outputs: Path) -> None:
    folder = make_run(outputs, Run(id="abcabc", status="running", epochs=0, overrides=("lr=1", "hydra.run.dir=x/y")))
    path = folder / "ledger.jsonl"
    started = json.loads(path.read_text().splitlines()[0])
    started["environment"]["hostname"], started["pid"] = socket.gethostname(), 2**22 - 1
    path.write_text(json.dumps(started) + "\n")
    page = printed(show, "abcabc")
    assert "abcabc  not started\n" in page
    assert page.splitlines()[-1] == f"go on  hpo-run resume={folder}"
    assert "  changed      lr=1\n" in page
    append(folder, "resumed", step=0, file=None)
    assert "abcabc  died\n" in printed(show, "abcabc")
