import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.run_folders import Run, make_run
from tests.verbs.steered import nudged
from tests.verbs.trained import inside

SGD = ("optimizer=sgd", "optimizer.momentum=0.9", "lr=0.05")


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES", "HPO_RUN_OUTPUTS"):
        monkeypatch.delenv(variable, raising=False)


@pytest.fixture
def outputs(tmp_path: Path) -> Path:
    root = tmp_path / "outputs"
    make_run(root, Run(id="3f9c12", minutes_old=1, cwd=str(Path.cwd())))
    sgd = {"_target_": "torch.optim.SGD", "momentum": 0.9}
    make_run(
        root, Run(id="a1b2c3", overrides=SGD, value=0.981, plan=(("lr", 0.05), ("optimizer", sgd)), minutes_old=200)
    )
    failed = make_run(root, Run(id="77aa00", overrides=(), status="failed", value=None, minutes_old=20))
    (failed / "error.txt").write_text("Traceback\n" + "frame\n" * 50 + "RunFailedError: train/loss was nan\n")
    return root


@pytest.fixture
def printed(outputs: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    def call(verb: ModuleType, *words: str) -> str:
        assert verb.main([*words, "--outputs", str(outputs)]) == 0
        return capsys.readouterr().out

    return call


@pytest.fixture
def answered(printed: Callable[..., str]) -> Callable[..., Any]:
    def call(verb: ModuleType, *words: str) -> object:
        return json.loads(printed(verb, *words, "--json"), parse_constant=pytest.fail)

    return call


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Nudged after step 10, which is in the second of four epochs, and again after step 20."""
    place = tmp_path_factory.mktemp("trained")
    with inside(place):
        nudged()
    return place


@pytest.fixture
def parent(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the run that `trained` left, for one test alone."""
    shutil.copytree(trained / "outputs", tmp_path / "outputs")
    monkeypatch.chdir(tmp_path)
    return Path("outputs/all/parent")
