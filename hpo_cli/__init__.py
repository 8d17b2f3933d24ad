"""Train, look after and compare neural networks from the command line, driven by config files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hpo_cli.record.frame import load_runs

__all__ = ["load_runs"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name == "load_runs":
        from hpo_cli.record.frame import load_runs

        return load_runs
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
