"""The README's commands do what it says: they are run here, in the order in which a reader meets them."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from hpo_cli.cli import main

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
REFUSED = ("hpo-run check model=cnn data=breast_cancer", "hpo-run check optimizer=adm lrr=0.1")


def commands() -> list[str]:
    blocks = re.findall(r"```sh\n(.*?)```", README, flags=re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if line.startswith("hpo-run")]


def test_the_readme_has_commands() -> None:
    found = commands()
    assert len(found) >= 10
    assert set(REFUSED) <= set(found)


def test_its_commands_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    rows = [f"{i % 7},{(i * i) % 11},{'ab'[i % 2]}" for i in range(200)]
    Path("mine.csv").write_text("first,second,label\n" + "\n".join(rows) + "\n")
    option = re.search(r"mine/model/wide.yaml.*?```yaml\n(.*?)```", README, flags=re.DOTALL)
    assert option is not None
    Path("mine/model").mkdir(parents=True)
    Path("mine/model/wide.yaml").write_text(option[1])
    assert main([]) == 0
    for command in commands():
        code = main(shlex.split(command)[1:])
        printed = capsys.readouterr()
        assert code == (2 if command in REFUSED else 0), f"{command}\n{printed.out}\n{printed.err}"


def test_every_verb_is_named() -> None:
    from hpo_cli.cli import VERBS

    missing = [verb for verb in VERBS if f"hpo-run {verb}" not in README]
    assert not missing


def test_its_links_lead_somewhere() -> None:
    root = Path(__file__).parent.parent
    local = [target for target in re.findall(r"\]\(([^)]+)\)", README) if "://" not in target]
    assert len(local) >= 5
    assert [target for target in local if not (root / target).exists()] == []
