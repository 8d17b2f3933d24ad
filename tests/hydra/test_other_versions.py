"""The suites on the versions of Hydra that are not installed here, each in an environment of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import hydra
import pytest

from tests.command_line import REPOSITORY

VERSIONS = ("1.3.8", "1.4.0rc3")
PACKAGES = ("optuna", "numpy", "pytest", "pyyaml", "rich")


@pytest.mark.slow
@pytest.mark.parametrize("version", [version for version in VERSIONS if version != hydra.__version__])
def test_hydras_own_suites_pass(version: str, tmp_path: Path) -> None:
    python = str(tmp_path / "venv" / "bin" / "python")
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "venv")], check=True)
    install = [python, "-m", "pip", "install", "--quiet", f"hydra-core=={version}", *PACKAGES]
    done = subprocess.run(install, capture_output=True, text=True, check=False)
    if done.returncode and "No matching distribution" in done.stderr:
        pytest.skip(f"hydra-core {version} cannot be had here")
    assert done.returncode == 0, done.stderr
    (ini := tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = slow\n")
    suites = REPOSITORY / "tests" / "hydra" / "test_hydra_suites.py"
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "PYTHONDONTWRITEBYTECODE": "1"}
    options = ["-q", "-p", "no:cacheprovider", "-c", str(ini), "--import-mode=importlib"]
    found = subprocess.run(
        [python, "-m", "pytest", *options, str(suites)],
        cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=600,
    )  # fmt: skip
    assert found.returncode == 0, found.stdout[-3000:]
    assert " passed" in found.stdout
    assert "failed" not in found.stdout
