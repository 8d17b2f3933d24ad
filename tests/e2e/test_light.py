"""What needs no building imports neither torch nor Lightning; what only reads imports no Hydra either."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.command_line import child

if TYPE_CHECKING:
    from pathlib import Path

    from tests.e2e.conftest import Trained

CODE = """
import json, sys
from hpo_cli.cli import main
try:
    code = main(sys.argv[1:])
except SystemExit as stop:
    code = stop.code
names = {name.split(".")[0] for name in sys.modules}
print("\\n" + json.dumps([code, sorted(names)]), file=sys.stderr)
"""
TRAINING = {
    "torch",
    "lightning",
    "pytorch_lightning",
    "torchmetrics",
    "sklearn",
    "pandas",
    "torchvision",
    "tensorboard",
}
COMPOSING = {"hydra", "omegaconf", "antlr4"}
READING = [
    ["--help"], ["--help", "optimizer=adam"], ["--version"], ["ls"], ["ls", "--json"], ["show", "last"],
    ["show", "best", "--json"], ["diff", "last", "best"], ["curves"], ["completion", "bash"],
    ["completion", "--line", "hpo-run opt"], ["completion", "--line", "hpo-run show "], ["trian"],
    ["show", "nowhere"], ["lr=1", "--nope"], ["--config-dir", "nowhere"],
]  # fmt: skip
REFUSED = [
    ["optimizer.lrr=1", "lr=1,2"], ["lr=-1", "name=a/b"], ["optimizer=adm"], ["data=csv"], ["+foo=1"], ["loss=mse"],
    ["check", "modle=mlp"],
]  # fmt: skip


def modules(*words: str, cwd: Path) -> tuple[int, set[str]]:
    code, names = json.loads(child(*words, cwd=cwd, code=CODE).lines[-1])
    return code, set(names)


@pytest.mark.parametrize("words", READING, ids=" ".join)
def test_reading_imports_neither_hydra_nor_torch(trained: Trained, words: list[str]) -> None:
    code, names = modules(*words, cwd=trained.place)
    assert code in (0, 2)
    assert "hpo_cli" in names
    assert not names & (TRAINING | COMPOSING)


def test_refusals_and_configs_import_no_torch(trained: Trained) -> None:
    code, names = modules("--cfg", "job", cwd=trained.place)
    assert code == 0
    assert names >= {"hydra", "omegaconf"}
    assert not names & TRAINING


@pytest.mark.parametrize("words", REFUSED, ids=" ".join)
def test_every_refusal_that_needs_no_building_imports_no_torch(trained: Trained, words: list[str]) -> None:
    code, names = modules(*words, cwd=trained.place)
    assert code == 2
    assert not names & TRAINING


def test_a_run_tested_before_is_shown_without_torch(copied: Path, tmp_path: Path) -> None:
    code, names = modules("test", "last", cwd=tmp_path)
    assert code == 0
    assert "torch" in names  # the first time it has to be there, and is noticed
    code, names = modules("test", "last", cwd=tmp_path)
    assert code == 0
    assert not names & (TRAINING | COMPOSING)
    events = [json.loads(line)["event"] for line in (copied / "ledger.jsonl").read_text().splitlines()]
    assert events.count("tested") == 1
