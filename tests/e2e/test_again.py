"""`show` prints the command that makes a run again, and running it gives the same weights to the last bit."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from tests.command_line import REPOSITORY, Answer, child

if TYPE_CHECKING:
    from pathlib import Path

    from tests.e2e.conftest import Trained

SMALL = ("epochs=1", "trainer.threads=1")
OWN = "# Mine\ndefaults:\n  - mlp\n  - _self_\nwidth: 24\nactivation: tanh\n"
WORDS = ["--config-dir", "my conf", "model=mine", "tags=[a,'b c',\"it''s\",'$HOME `x`']", "name=a.b-c", "lr=3e-3"]


def in_a_shell(command: str, *, cwd: Path) -> Answer:
    """The printed command, typed into a shell as it stands."""
    script = f'hpo-run() {{ {shlex.quote(sys.executable)} -m hpo_cli.cli "$@"; }}\n{command}\n'
    done = subprocess.run(
        ["bash", "-c", script], cwd=cwd, env={"PYTHONPATH": str(REPOSITORY), "PATH": "/usr/bin:/bin"},
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    return Answer(done.returncode, done.stdout, done.stderr)


def show(where: Path, run: str = "last") -> dict[str, Any]:
    answer = child("show", run, "--json", cwd=where)
    assert answer.code == 0, answer.err
    return dict(json.loads(answer.out))


def weights(run: Path) -> str:
    return str(json.loads((run / "result.json").read_text())["weights_sha256"])


def test_the_printed_command_makes_the_run_again(tmp_path: Path) -> None:
    (tmp_path / "my conf" / "model").mkdir(parents=True)
    (tmp_path / "my conf" / "model" / "mine.yaml").write_text(OWN)
    assert child(*WORDS, *SMALL, cwd=tmp_path).code == 0
    first = show(tmp_path)
    again = in_a_shell(first["command"], cwd=tmp_path)
    assert again.code == 0, again.err
    second = show(tmp_path)
    assert second["path"] != first["path"]
    assert weights(tmp_path / second["path"]) == weights(tmp_path / first["path"])
    assert second["plan"] == first["plan"]
    assert second["plan"]["tags"] == ["a", "b c", "it''s", "$HOME `x`"]
    assert second["command"] == first["command"]


def test_the_command_leads_back_from_another_folder(tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "there").mkdir()
    place = tmp_path / "here" / "my runs"
    assert child(*SMALL, "hydra.run.dir='my runs/one'", cwd=tmp_path / "here").code == 0
    command = show(tmp_path / "there", "../here/my runs/one")["command"]
    assert command.startswith("cd ")
    assert "hydra.run.dir" not in command  # which a second run could not have
    assert in_a_shell(command, cwd=tmp_path / "there").code == 0
    (again,) = (tmp_path / "here" / "outputs").glob("*/*")
    assert weights(again) == weights(place / "one")


def test_another_seed_gives_other_weights(trained: Trained, tmp_path: Path) -> None:
    assert child("epochs=2", "seed=1", "hydra.run.dir=other", cwd=tmp_path).code == 0
    assert weights(tmp_path / "other") != weights(trained.run)
