"""A run's folder: what it is called, what lies in it, and how one is made that no other run shares."""

from __future__ import annotations

import re
import secrets
from pathlib import Path

from hpo_cli.errors import ConfigError
from hpo_cli.record.atomic import sync_folder

PLAN = "plan.yaml"
LEDGER = "ledger.jsonl"
METRICS = "metrics.jsonl"
RESULT = "result.json"
LOG = "run.log"
ERROR = "error.txt"
FOLDS = "folds.json"
HYDRA = ".hydra"
CHECKPOINTS = "checkpoints"
START = f"{CHECKPOINTS}/start.pt"
"""The state that a branch begins with."""
ABANDONED = "abandoned-"
"""Folders of checkpoints that a rollback left behind begin so."""
CONTROL = "control"

_SAFE_NAME = re.compile(r"\w(?:[\w.+-]{0,58}\w)?")  # one path part, neither hidden nor an option, on any file system
_ATTEMPTS = 1000


def create_run_folder(root: Path | str, name: str) -> Path:
    """A new folder `root/name/<six hex digits>` with an empty `checkpoints/`, made for the caller alone.

    Raises ConfigError (`name`, `outputs`) where the name is no safe path part or the folder cannot be made.
    """
    folder = create_parent_folder(root, name)
    try:
        (folder / CHECKPOINTS).mkdir()
    except OSError as error:
        raise _not_made(root, folder, error) from error
    return folder


def create_parent_folder(root: Path | str, name: str) -> Path:
    """A new folder `root/name/<six hex digits>` for several runs that belong together. Raises as for one run."""
    parent = Path(root) / check_name(name)
    try:
        parent.mkdir(parents=True, exist_ok=True)
        folder = _make_exclusive(parent)
        sync_folder(parent)
    except OSError as error:
        raise _not_made(root, parent, error) from error
    return folder


def _not_made(root: Path | str, where: Path, error: OSError) -> ConfigError:
    rule = f"a run's folder cannot be made in {where} ({error.strerror or error})"
    return ConfigError("outputs", str(root), rule=rule, fix="give another place with outputs=DIR")


def check_name(name: str) -> str:
    """`name` itself, when it can be a folder's name everywhere; otherwise ConfigError."""
    if isinstance(name, str) and _SAFE_NAME.fullmatch(name):
        return name
    rule = "must be one plain folder name (letters, digits and inner . _ + -, at most 60)"
    raise ConfigError("name", name, rule=rule, fix=f"try name={_tamed(str(name))}")


def is_run(folder: Path | str) -> bool:
    """Whether `folder` is a run's: it has a ledger or a plan."""
    return any((Path(folder) / file).exists() for file in (LEDGER, PLAN))


def _make_exclusive(parent: Path) -> Path:
    for _ in range(_ATTEMPTS):
        folder = parent / secrets.token_hex(3)
        try:
            folder.mkdir()
        except FileExistsError:
            continue
        return folder
    raise FileExistsError(f"{_ATTEMPTS} random ids were all taken")


def _tamed(name: str) -> str:
    return re.sub(r"\W+", "-", name).strip("-")[:50] or "my-run"
