"""Imports torchvision, and what is built on it, where its compiled part does not fit the installed torch as well.

The wheel of torchvision on PyPI is compiled against a torch with CUDA. Beside a CPU wheel of torch its library does
not load, torchvision goes on without it and then fails at two operators that it describes but nobody has declared.
Declared here, models, transforms and data sets work; what stays out is what the operators themselves compute
(non-maximum suppression) and decoding of image files.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from hpo_cli.errors import ConfigError

if TYPE_CHECKING:
    from types import ModuleType

OPERATORS = ("nms", "qnms")
_SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
_declared: list[torch.library.Library] = []  # an operator lives as long as the library that declared it


def import_torchvision() -> ModuleType:
    """The module `torchvision`, for every use of it: called before timm and kornia are imported too.

    Does nothing but import where torchvision's compiled part loads. Raises ModuleNotFoundError when it is missing.
    """
    if "torchvision" not in sys.modules:
        spec = importlib.util.find_spec("torchvision")
        folders = list(spec.submodule_search_locations or ()) if spec else []
        if folders and not _loads(Path(folders[0])):
            _declare_operators()
    return importlib.import_module("torchvision")


def import_vision(package: str, *, key: str, value: object) -> ModuleType:
    """A package that is built on torchvision, or torchvision itself.

    Raises ConfigError for `key=value`, which asked for it, when it is not installed.
    """
    try:
        import_torchvision()
        return importlib.import_module(package)
    except ModuleNotFoundError as error:
        rule = f"needs a package that is not installed ({error.name})"
        raise ConfigError(key, value, rule=rule, fix="pip install 'hpo-run[vision]'") from error


def _loads(folder: Path) -> bool:
    """Whether the compiled operators are there; to load them before torchvision does is no harm."""
    for library in (*folder.glob("_C*.so"), *folder.glob("_C*.pyd")):
        try:
            torch.ops.load_library(str(library))
        except OSError:
            continue
        return True
    return False


def _declare_operators() -> None:
    library = torch.library.Library("torchvision", "FRAGMENT")
    for name in OPERATORS:
        if not hasattr(torch.ops.torchvision, name):
            library.define(f"{name}{_SCHEMA}")
    _declared.append(library)
