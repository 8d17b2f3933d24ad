"""The wheel carries conf/ and works from an empty folder, far from the checkout."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.command_line import REPOSITORY, Answer

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("hatchling") is None or importlib.util.find_spec("pip") is None,
    reason="building the wheel without network needs hatchling and pip",
)


@dataclass(frozen=True)
class Installed:
    """A wheel, and where it was unpacked by pip."""

    wheel: Path
    site: Path


def pip(*words: str, cwd: Path) -> None:
    command = [sys.executable, "-m", "pip", *words, "--no-deps", "--no-index", "--disable-pip-version-check", "--quiet"]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    place = tmp_path_factory.mktemp("wheel")
    pip("wheel", str(REPOSITORY), "--no-build-isolation", "--wheel-dir", "dist", cwd=place)
    (wheel,) = (place / "dist").iterdir()
    pip("install", "--target", "site", str(wheel), cwd=place)
    return Installed(wheel, place / "site")


def run(*words: str, installed: Installed, cwd: Path) -> Answer:
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("HPO_RUN_", "PYTHON"))}
    environment["PYTHONPATH"] = str(installed.site)
    command = [sys.executable, "-P", "-m", "hpo_cli.cli", *words]
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False, timeout=300)
    return Answer(done.returncode, done.stdout, done.stderr)


def test_conf_is_inside_and_tests_are_not(installed: Installed) -> None:
    names = set(zipfile.ZipFile(installed.wheel).namelist())
    shipped = {
        f"hpo_cli/conf/{path.relative_to(REPOSITORY / 'conf')}" for path in (REPOSITORY / "conf").rglob("*.yaml")
    }
    assert len(shipped) >= 38
    assert shipped <= names
    assert not [name for name in names if name.startswith(("tests", "conf/", "scripts", "outputs"))]
    modules = {str(path.relative_to(REPOSITORY)) for path in (REPOSITORY / "hpo_cli").rglob("*.py")}
    modules |= {str(path.relative_to(REPOSITORY)) for path in (REPOSITORY / "hydra_plugins").rglob("*.py")}
    assert "hydra_plugins/hpo_caviar/caviar_sweeper.py" in modules
    assert modules <= names
    assert "hydra_plugins/__init__.py" not in names  # it is shared with other packages
    assert any(name.endswith("entry_points.txt") for name in names)


def test_it_runs_from_an_empty_folder(installed: Installed, tmp_path: Path) -> None:
    overview = run("--help", installed=installed, cwd=tmp_path)
    assert (overview.code, overview.err) == (0, "")
    assert "fashion_mnist" in overview.out
    trained = run("epochs=1", installed=installed, cwd=tmp_path)
    assert (trained.code, trained.err) == (0, "")
    (folder,) = (tmp_path / "outputs" / "digits").iterdir()
    assert json.loads((folder / "result.json").read_text())["status"] == "finished"
    shown = run("show", "--json", installed=installed, cwd=tmp_path)
    assert json.loads(shown.out)["status"] == "finished"


def test_it_is_the_installed_package_that_runs(installed: Installed, tmp_path: Path) -> None:
    code = "import hpo_cli, hpo_cli.options as o; print(hpo_cli.__file__, o.conf_folder(), sep='\\n')"
    environment = {**os.environ, "PYTHONPATH": str(installed.site)}
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    package, conf = map(Path, done.stdout.split())
    assert package.is_relative_to(installed.site)
    assert conf == installed.site / "hpo_cli" / "conf"


def test_the_console_script_runs(tmp_path: Path) -> None:
    script = Path(sys.executable).with_name("hpo-run")
    if not script.exists():
        pytest.skip("hpo-run is not installed in this environment")
    done = subprocess.run([script, "--version"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert done.stdout.startswith("hpo-run ")
    wrong = subprocess.run([script, "lr=-1"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (wrong.returncode, wrong.stdout) == (2, "")
