from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from hpo_cli.components import torchvision_ops
from hpo_cli.errors import ConfigError

LIGHTNING = "import hpo_cli.engine.lightning as lightning\n"
TORCHVISION = "from hpo_cli.components.torchvision_ops import import_torchvision; import_torchvision()\n"
USE = """
import torch, timm
from torchvision.models import squeezenet1_1
from torchvision.ops import roi_align
from torchvision.transforms import v2
print(tuple(squeezenet1_1(num_classes=3).eval()(torch.zeros(1, 3, 32, 32)).shape))
print(tuple(roi_align(torch.ones(1, 1, 8, 8), [torch.tensor([[0.0, 0.0, 4.0, 4.0]])], 2).shape))
print(tuple(v2.functional.horizontal_flip(torch.ones(1, 2, 2)).shape), timm.is_model("resnet18"))
print(lightning.pl.Trainer.__module__.startswith("pytorch_lightning"))
"""


@pytest.mark.parametrize("imports", [LIGHTNING + TORCHVISION, TORCHVISION + LIGHTNING], ids=["after", "before"])
def test_works_before_and_after_lightning(imports: str) -> None:
    lines = run(imports + USE).stdout.splitlines()
    assert lines == ["(1, 3)", "(1, 1, 2, 2)", "(1, 2, 2) True", "True"]


def test_nothing_is_declared_where_the_compiled_part_loads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "_C.so").touch()
    loaded: list[str] = []
    monkeypatch.setattr(torch.ops, "load_library", loaded.append)
    assert torchvision_ops._loads(tmp_path)
    assert loaded == [str(tmp_path / "_C.so")]


def test_a_part_that_is_missing_or_broken_does_not_load(tmp_path: Path) -> None:
    assert not torchvision_ops._loads(tmp_path)
    (tmp_path / "_C.so").write_bytes(b"no library")
    assert not torchvision_ops._loads(tmp_path)


def test_without_the_cure_torchvision_fails_beside_another_torch() -> None:
    spec = importlib.util.find_spec("torchvision")
    assert spec is not None
    if torchvision_ops._loads(Path(str(spec.origin)).parent):
        pytest.skip("torchvision's compiled part loads here: there is nothing to cure")
    assert "operator torchvision::nms does not exist" in run("import torchvision").stderr


def test_a_missing_package_is_refused_in_one_line() -> None:
    with pytest.raises(
        ConfigError, match=r"^model=timm: needs a package that is not installed \(no_such\); pip install"
    ):
        torchvision_ops.import_vision("no_such", key="model", value="timm")


def test_torchvision_itself_missing_is_refused_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchvision", None)
    with pytest.raises(ConfigError, match=r"not installed \(torchvision\); pip install 'hpo-run\[vision\]'$"):
        torchvision_ops.import_vision("timm", key="model", value="timm")


def run(code: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "ignore", "-c", code]
    return subprocess.run(command, capture_output=True, text=True, check=False)
