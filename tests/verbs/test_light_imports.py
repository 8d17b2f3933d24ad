"""The reading verbs answer without what makes a start slow."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.verbs.live_run import LiveRun, run_folder

HEAVY = {"torch", "lightning", "pytorch_lightning", "hydra", "omegaconf", "numpy", "pandas", "sklearn"}
CODE = """
import importlib, json, sys
verb, *words = sys.argv[1:]
code = importlib.import_module(f"hpo_cli.verbs.{verb}").main(words)
print(json.dumps(sorted({name.split(".")[0] for name in sys.modules})), file=sys.stderr)
sys.exit(code)
"""


def modules_of(*words: str, **variables: str) -> set[str]:
    environment = {**os.environ, **variables}
    command = [sys.executable, "-c", CODE, *words]
    child = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert child.stdout
    return set(json.loads(child.stderr))


@pytest.mark.parametrize(
    "words", [["ls"], ["ls", "--json"], ["show", "3f9c12"], ["diff", "3f9c12", "a1b2c3"], ["curves", "3f9c12"]]
)
def test_nothing_heavy_is_imported(outputs: Path, words: list[str]) -> None:
    loaded = modules_of(*words, "--outputs", str(outputs))
    assert "hpo_cli" in loaded
    assert not loaded & HEAVY


STEERING = [
    ["pause"], ["unpause"], ["stop"], ["checkpoint", "--tag", "good"], ["rollback", "--to", "best"],
    ["nudge", "--cancel", "x"],
]  # fmt: skip


@pytest.mark.parametrize("words", STEERING)
def test_steering_needs_nothing_heavy(tmp_path: Path, words: list[str]) -> None:
    with LiveRun(run_folder(tmp_path)):
        loaded = modules_of(words[0], "last", *words[1:], "--outputs", str(tmp_path))
    assert not loaded & {*HEAVY, "rich"}


def test_a_nudge_needs_hydra_alone(tmp_path: Path) -> None:
    with LiveRun(run_folder(tmp_path)):
        loaded = modules_of("nudge", "last", "lr=1", "--outputs", str(tmp_path))
    assert "hydra" in loaded
    assert not loaded & HEAVY - {"hydra", "omegaconf"}


def test_a_piped_listing_needs_neither_rich_nor_yaml(outputs: Path) -> None:
    assert not modules_of("ls", "--outputs", str(outputs)) & {"rich", "yaml"}
    assert "rich" in modules_of("ls", "--outputs", str(outputs), FORCE_COLOR="1")
