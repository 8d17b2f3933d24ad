"""Which files of a folder are images of which class."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hpo_cli.errors import ConfigError, Problem, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Sequence

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm")
TRAIN, TEST, VAL = "train", "test", ("val", "valid", "validation")
NUM_NAMED = 5


@dataclass(frozen=True)
class Sample:
    """An image file and the index of its class."""

    path: Path
    label: int


@dataclass(frozen=True)
class Found:
    """The files of a folder. test: of a published test split, empty when there is none."""

    class_names: tuple[str, ...]
    train: tuple[Sample, ...]
    test: tuple[Sample, ...]


def find_samples(path: str) -> Found:
    """The images below `path` in the order of class and path.

    `path` holds one folder a class, or a folder `train` and folders `test` or `val` of such folders: `test` is the
    published test split then, and so is `val` where there is no `test`; with all three, `val` joins `train`.
    Folders within a class belong to it. Hidden files and other suffixes are passed over.
    Raises ConfigError for folders that are missing or empty, a single class, and a test class without training images.
    """
    top = Path(path).expanduser()
    if not top.is_dir():
        raise _missing(path, top)
    parts = {folder.name: folder for folder in _folders(top)}
    if TRAIN not in parts or parts.keys() - {TRAIN, TEST, *VAL} or not _folders(parts[TRAIN]):
        return _collected([top], [])
    val = [parts[name] for name in VAL if name in parts]
    if TEST in parts:
        return _collected([parts[TRAIN], *val], [parts[TEST]])
    return _collected([parts[TRAIN]], val)


def _collected(train: Sequence[Path], test: Sequence[Path]) -> Found:
    names = tuple(sorted({folder.name for part in train for folder in _folders(part)}))
    if len(names) < 2:  # noqa: PLR2004 - there is nothing to tell apart
        rule = f"holds {f'one folder, {names[0]!r}' if names else 'no folders'}, and every class is a folder"
        raise ConfigError("data.path", train[0], rule=rule, fix="put the images of each class into a folder of its own")
    unknown = sorted({folder.name for part in test for folder in _folders(part)} - set(names))
    if unknown:
        rule = f"holds classes without training images: {_listed(unknown)}"
        raise ConfigError("data.path", test[0], rule=rule, fix="remove or rename those folders")
    found = Found(names, _samples(train, names), _samples(test, names))
    held = {sample.label for sample in found.train}
    empty = [name for label, name in enumerate(names) if label not in held]
    if empty:
        kinds = ", ".join(suffix[1:] for suffix in SUFFIXES)
        rule = f"{_listed(empty)} {'holds' if len(empty) == 1 else 'hold'} no images ({kinds})"
        raise ConfigError.of([Problem("data.path", rule, "fill or remove what is empty", train[0])])
    if test and not found.test:
        raise ConfigError("data.path", test[0], rule="holds no images", fix="fill or remove it")
    return found


def _samples(parts: Sequence[Path], names: Sequence[str]) -> tuple[Sample, ...]:
    return tuple(
        Sample(path, label) for label, name in enumerate(names) for part in parts for path in _files(part / name)
    )


def _files(folder: Path) -> list[Path]:
    return sorted(
        Path(place, name)
        for place, _, names in os.walk(folder)
        for name in names
        if name.lower().endswith(SUFFIXES) and not name.startswith(".")
    )


def _folders(folder: Path) -> list[Path]:
    return sorted(entry for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(repr(name) for name in names[:NUM_NAMED])
    return f"{shown} and {len(names) - NUM_NAMED} more" if len(names) > NUM_NAMED else shown


def _missing(path: str, top: Path) -> ConfigError:
    if top.is_file():
        return ConfigError("data.path", path, rule="is a file, not a folder", fix="name the folder of the classes")
    names = [entry.name for entry in top.parent.iterdir() if entry.is_dir()] if top.parent.is_dir() else []
    near = did_you_mean(top.name, names) or f"it is looked for in {top.parent.absolute()}"
    return ConfigError("data.path", path, rule="there is no such folder", fix=near)
