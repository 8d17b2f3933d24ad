"""A real run's folder damaged in each of its files: every verb answers or refuses in one line, and nothing is lost."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

import hpo_cli
from tests.command_line import call, refuse_in_one_line

pytestmark = pytest.mark.usefixtures("_own_process_state")

FILES = [
    "plan.yaml",
    "ledger.jsonl",
    "metrics.jsonl",
    "result.json",
    ".hydra/config.yaml",
    "checkpoints",
    "best",
    "run.log",
]
VERBS = [
    ["ls"], ["ls", "--json"], ["show", "{}"], ["show", "{}", "--json"], ["curves", "{}"], ["curves", "{}", "--json"],
    ["diff", "{}", "{}"], ["diff", "{}", "{}", "--json"],
]  # fmt: skip


def remove(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() else path.unlink()


def empty(path: Path) -> None:
    remove(path)
    path.write_bytes(b"")


def garbage(path: Path) -> None:
    remove(path)
    path.write_bytes(bytes(range(256)) * 20)


def cut(path: Path) -> None:
    if path.is_file():
        content = path.read_bytes()
        path.write_bytes(content[: len(content) * 2 // 3])


DAMAGES: list[Callable[[Path], None]] = [remove, empty, garbage, cut]


def part(run: Path, name: str) -> Path:
    return next((run / "checkpoints").glob("best-*.pt")) if name == "best" else run / name


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
@pytest.mark.parametrize("name", FILES)
def test_no_verb_stumbles(copied: Path, name: str, damage: Callable[[Path], None]) -> None:
    damage(part(copied, name))
    left = {path: path.read_bytes() for path in copied.rglob("*") if path.is_file()}
    for words in VERBS:
        answer = call(*(word.format(copied) for word in words))
        assert answer.code in (0, 2), answer
        assert len(answer.lines) == (answer.code == 2), answer
        assert answer.out == "" or answer.code == 0
    assert {path: path.read_bytes() for path in copied.rglob("*") if path.is_file()} == left


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
@pytest.mark.parametrize("name", FILES)
def test_the_test_verb_does_not_stumble(copied: Path, name: str, damage: Callable[[Path], None]) -> None:
    damage(part(copied, name))
    answer = call("test", str(copied))
    assert answer.code in (0, 2), answer
    assert len(answer.lines) == (answer.code == 2), answer
    needed = name in ("plan.yaml", "checkpoints") or (name == "best" and damage is not remove)
    kept = name == "checkpoints" and damage is cut
    assert (answer.code == 2) == ((needed and not kept) or (name == "ledger.jsonl" and damage is remove)), answer


PLANS: dict[str, Any] = {
    "lr": "x", "model": 5, "data": [1], "data.val_fraction": "x", "model.width": 64, "model.depth": -5, "model.foo": 5,
    "trainer.threads": "x", "choices": 5, "optimizer.betas": [], "data.task": "x", "loss.head": "x", "tags": 5,
    "model._target_": "os.system", "model.width ": 1e300,
}  # fmt: skip


@pytest.mark.parametrize("key", PLANS)
def test_a_plan_with_wrong_values_is_refused_in_one_line(copied: Path, key: str) -> None:
    plan = yaml.safe_load((copied / "plan.yaml").read_text())
    *sections, last = key.split(".")
    holder = plan
    for section in sections:
        holder = holder[section]
    holder[last] = PLANS[key]
    (copied / "plan.yaml").write_text(yaml.safe_dump(plan))
    refuse_in_one_line("test", str(copied))
    assert "tested" not in (copied / "ledger.jsonl").read_text()


def test_a_run_from_a_stranger_runs_no_code(copied: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "stranger.py").write_text(
        "from pathlib import Path\ndef net(**keys):\n    Path('owned').touch()\n    raise ValueError('there')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    plan = yaml.safe_load((copied / "plan.yaml").read_text())
    plan["model"]["_target_"] = "stranger.net"
    plan["allow_targets"] = ["stranger"]
    (copied / "plan.yaml").write_text(yaml.safe_dump(plan))
    assert "--allow stranger" in refuse_in_one_line("test", str(copied))
    assert not Path("owned").exists()
    assert "cannot be built: there" in refuse_in_one_line("test", str(copied), "--allow", "stranger")
    assert Path("owned").exists()


LINES = [
    '{"event": "tested"}',
    '{"event": "tested", "at": 3, "metrics": {"a": "b"}, "checkpoint": 3}',
    '{"event": "tested", "at": "x", "metrics": [1], "checkpoint": 3}',
    '{"event": "tested", "at": "x", "metrics": {"test/loss": null}, "checkpoint": "c"}',
]


@pytest.mark.parametrize("line", LINES)
def test_a_strange_test_in_the_ledger_is_shown_as_far_as_it_goes(copied: Path, line: str) -> None:
    with (copied / "ledger.jsonl").open("a") as stream:
        stream.write(line + "\n")
    for flags in ([], ["--json"]):
        answer = call("test", str(copied), *flags)
        assert (answer.code, answer.err) == (0, "")
    assert call("show", str(copied)).code == 0


def test_load_runs_passes_over_what_is_damaged(copied: Path) -> None:
    pytest.importorskip("pandas")
    shutil.copytree(copied, "outputs/digits/000bad")
    garbage(Path("outputs/digits/000bad/plan.yaml"))
    garbage(Path("outputs/digits/000bad/result.json"))
    frame = hpo_cli.load_runs("outputs").set_index("id")
    assert set(frame.index) == {"000bad", copied.name}
    assert frame.loc[copied.name, "status"] == "finished"
    assert frame.loc["000bad", "status"] == "damaged"
    assert json.loads(call("ls", "--json").out)
