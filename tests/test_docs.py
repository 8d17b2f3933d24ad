"""What the docs show is what works: files are written as they stand there and trained, and recipes are run."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from hpo_cli.cli import main

ROOT = Path(__file__).parent.parent
RECIPES = (ROOT / "docs" / "recipes.md").read_text(encoding="utf-8")
CHAPTERS = re.findall(r"^## (.*?)\n(.*?)(?=^## |\Z)", RECIPES, flags=re.DOTALL | re.MULTILINE)
PAGE = (Path(__file__).parent.parent / "docs" / "your-own.md").read_text(encoding="utf-8")


def block(after: str, language: str) -> str:
    found = re.search(rf"{re.escape(after)}.*?```{language}\n(.*?)```", PAGE, flags=re.DOTALL)
    assert found is not None
    return found[1]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    for folder in ("mine/optimizer", "mine/model", "my_package"):
        Path(folder).mkdir(parents=True)
    Path("mine/optimizer/heavy.yaml").write_text(block("mine/optimizer/heavy.yaml", "yaml"))
    Path("mine/model/net.yaml").write_text(block("mine/model/net.yaml", "yaml"))
    Path("my_package/nets.py").write_text(block("my_package/nets.py", "python"))
    return tmp_path


def test_an_option_of_ones_own(place: Path) -> None:
    assert main(["--config-dir", "mine", "optimizer=heavy", "epochs=1"]) == 0
    assert main(["--config-dir", "mine", "optimizer=heavy", "optimizer.momentum=1.5"]) == 2


def test_a_model_of_ones_own(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--config-dir", "mine", "model=net", "epochs=1"]
    assert main(words) == 2
    assert "allow_targets=[my_package]" in capsys.readouterr().err
    assert main([*words, "allow_targets=[my_package]"]) == 0
    assert main([*words, "allow_targets=[my_package]", "model.width=8", "model.wdth=8"]) == 2
    assert "did you mean model.width?" in capsys.readouterr().err


def test_faults_of_ones_own_model_are_one_line(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    net = Path("my_package/faults.py")
    net.write_text(
        "from torch import nn\n"
        "class Raises(nn.Linear):\n"
        "    def __init__(self, *, input_shape, num_outputs):\n        super().__init__(64, 10)\n"
        "    def forward(self, x):\n        raise ValueError('kaputt')\n"
        "def narrow(*, input_shape, num_outputs):\n    return nn.Sequential(nn.Flatten(), nn.Linear(64, 3))\n"
        "def nothing(*, input_shape, num_outputs):\n    return 7\n"
    )
    for name, words in (("Raises", "ValueError: kaputt"), ("narrow", "[2, 3]"), ("nothing", "gave int")):
        Path("mine/model/fault.yaml").write_text(f"# A fault\n_target_: my_package.faults.{name}\n")
        assert main(["--config-dir", "mine", "model=fault", "allow_targets=[my_package]"]) == 2
        line = capsys.readouterr().err.strip()
        assert words in line
        assert "\n" not in line
    assert not Path("outputs").exists()


def test_the_catalogue_page_is_what_the_option_files_say() -> None:
    script = ROOT / "scripts" / "catalogue.py"
    assert subprocess.run([sys.executable, script, "--check"], cwd=ROOT, check=False).returncode == 0


def test_there_are_recipes() -> None:
    assert len(CHAPTERS) >= 10


@pytest.mark.parametrize(("title", "text"), CHAPTERS, ids=[title for title, _ in CHAPTERS])
def test_the_commands_of_a_recipe_work(
    title: str, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    rows = [f"{i % 7},{(i * i) % 11},{(3 * i) % 13},{'ab'[i % 2]}" for i in range(200)]
    Path("rooms.csv").write_text("size,floor,price,kind\n" + "\n".join(rows) + "\n")
    for block in re.findall(r"```sh\n(.*?)```", text, flags=re.DOTALL):
        for command in block.splitlines():
            code = main(shlex.split(command)[1:])
            printed = capsys.readouterr()
            assert code == 0, f"{command}\n{printed.out}\n{printed.err}"
