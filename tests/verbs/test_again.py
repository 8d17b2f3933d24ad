"""The commands that a sweep's pages print make the same bits again."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

from tests.command_line import child

SMALL = ("optimizer=adam", "data.subset=0.2", "model.width=16", "trainer=cpu")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two epochs, a sweep of two branches of its best step, and one of two trials."""
    place = tmp_path_factory.mktemp("again")
    for words in (
        (*SMALL, "epochs=2", "hydra.run.dir=outputs/all/parent"),
        ("-m", "resume=outputs/all/parent@best", "lr=1e-3,1e-2", "epochs=4", "sweep.dir=branches", "sweep.workers=1"),
        ("-m", *SMALL, "lr=1e-3,1e-2", "epochs=2,3", "sweep.dir=grid", "sweep.workers=1"),
    ):
        done = child(*words, cwd=place)
        assert done.code == 0, done.err
    return place


def sha(folder: Path) -> str:
    return str(json.loads((folder / "result.json").read_text())["weights_sha256"])


@pytest.mark.parametrize("sweep", ["branches", "grid"])
def test_the_winner_is_trained_again_to_its_bits(place: Path, sweep: str) -> None:
    told = json.loads(child("best", sweep, "--json", cwd=place).out)
    command = shlex.split(told["commands"]["train"])
    assert "trainer.threads=1" in command
    again = child(*command[1:], f"hydra.run.dir=again-{sweep}", cwd=place)
    assert again.code == 0, (command, again.err)
    winner = place / sweep / told["best"]["run"]
    assert sha(place / f"again-{sweep}") == sha(winner)
    others = [sha(path.parent) for path in (place / sweep).glob("*/result.json") if path.parent != winner]
    assert others
    assert sha(winner) not in others


def test_what_show_prints_for_a_branch_makes_it_again(place: Path) -> None:
    folder = next(path.parent for path in sorted((place / "branches").glob("*-1/result.json")))
    told = json.loads(child("show", str(folder), "--json", cwd=place).out)
    command = shlex.split(told["command"])
    assert command[1] == "branch"
    again = child(*command[1:], "hydra.run.dir=again-shown", cwd=place)
    assert again.code == 0, again.err
    assert sha(place / "again-shown") == sha(folder)


def test_the_winner_is_raised_for_five_times_its_own_epochs(place: Path) -> None:
    told = json.loads(child("best", "grid", "--json", cwd=place).out)
    own = told["best"]["setting"]["epochs"]
    assert told["commands"]["panda"].endswith(f" epochs={5 * own}")
