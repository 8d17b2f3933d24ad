"""Makes Lightning start sooner: what it imports and a training run never uses stays out until somebody asks for it.

Measured by `scripts/bench_start.py`. Two things are kept out:

- scipy, matplotlib and torchvision, which torchmetrics imports wherever they are installed, for metrics and plots that
  nobody asks for (and beside another build of torch torchvision cannot be imported at all, see
  `hpo_cli.components.torchvision_ops`);
- `torch._dynamo`, which Lightning imports for one class name and torch.optim for two functions that do nothing outside
  of `torch.compile`. The first use of anything else in it (torch.compile itself) imports it for good.
"""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.metadata
import importlib.util
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

import torch

UNUSED = ("scipy", "matplotlib", "torchvision")
_NAME = "torch._dynamo"


@contextmanager
def without_unused_packages() -> Iterator[None]:
    """While this lasts, torchmetrics finds none of the UNUSED packages; afterwards its checks find them again."""
    from lightning_utilities.core import imports

    kept = {name: getattr(imports, name) for name in ("_version", "package_available", "module_available")}
    for name, known in kept.items():
        setattr(imports, name, _blind(known, missing=_raise_missing if name == "_version" else _say_missing))
    try:
        yield
    finally:
        for name, known in kept.items():
            setattr(imports, name, known)
        _forget_absence()


def _blind(known: Callable[[str], Any], *, missing: Callable[[str], Any]) -> Callable[[str], Any]:
    return lambda name: missing(name) if name.split(".")[0] in UNUSED else known(name)


def _raise_missing(name: str) -> str:
    raise importlib.metadata.PackageNotFoundError(name)


def _say_missing(name: str) -> bool:  # noqa: ARG001 - stands for `package_available`
    return False


def _forget_absence() -> None:
    """Let torchmetrics look again when one of its functions needs an UNUSED package."""
    checks = sys.modules.get("torchmetrics.utilities.imports")
    for check in vars(checks).values() if checks else ():
        if str(getattr(check, "requirement", "")).startswith(UNUSED):
            vars(check).pop("available", None)


class _Answers(type):
    """isinstance(model, OptimizedModule): true for compiled models, which exist only once dynamo has been imported."""

    def __instancecheck__(cls, instance: object) -> bool:
        real = sys.modules.get(_NAME)
        return not isinstance(real, DeferredDynamo) and real is not None and isinstance(instance, real.OptimizedModule)


class OptimizedModule(metaclass=_Answers):
    """Stands for `torch._dynamo.OptimizedModule` until that exists."""


class DeferredDynamo(ModuleType):
    """`torch._dynamo` before its first real use."""

    OptimizedModule = OptimizedModule
    lenient = False

    @staticmethod
    def disable(*words: Any, wrapping: bool = True, **named: Any) -> Any:
        """Functions of torch itself (`wrapping=False`) and Lightning's stay as they are. Others get the real thing."""
        if wrapping and not DeferredDynamo.lenient:
            return _real_dynamo().disable(*words, wrapping=wrapping, **named)
        return words[0] if words and words[0] is not None else lambda fn: fn

    @staticmethod
    def graph_break(msg: str = "") -> None:
        """End a compiled graph, of which there is none."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)  # a look at the module, no use of it
        return getattr(_real_dynamo(), name)


class _SubmoduleFinder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Imports the real package when one of its submodules is wanted."""

    def find_spec(self, fullname: str, path: object = None, target: object = None) -> ModuleSpec | None:  # noqa: ARG002
        wanted = fullname.startswith(f"{_NAME}.") and isinstance(sys.modules.get(_NAME), DeferredDynamo)
        return ModuleSpec(fullname, self) if wanted else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        _real_dynamo()
        return importlib.import_module(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Nothing is left to do: the module has been imported with its package."""


@contextmanager
def deferring_dynamo() -> Iterator[None]:
    """Put `torch._dynamo` off until something needs it; what is imported meanwhile is not compiled by anybody."""
    found = None if _NAME in sys.modules else importlib.util.find_spec(_NAME)
    if found is None:
        yield
        return
    deferred = DeferredDynamo(_NAME)
    deferred.__path__ = list(found.submodule_search_locations or ())
    sys.modules[_NAME] = deferred
    sys.meta_path.insert(0, _SubmoduleFinder())
    torch._dynamo = deferred  # noqa: SLF001
    DeferredDynamo.lenient = True
    try:
        yield
    finally:
        DeferredDynamo.lenient = False


def _real_dynamo() -> ModuleType:
    if isinstance(sys.modules.get(_NAME), DeferredDynamo):
        del sys.modules[_NAME]
    return importlib.import_module(_NAME)
