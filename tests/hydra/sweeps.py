"""Sweeps by `hydra/sweeper=caviar` in this process, as an app with @hydra.main would run them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from hydra._internal.hydra import Hydra
from hydra._internal.utils import create_config_search_path
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.utils import JobReturn

from tests.command_line import fast_yaml

QUIET = ("hydra/hydra_logging=none", "hydra/job_logging=none", "hydra.job.chdir=false")
CONFIG = {"x": 0, "y": 0, "optimizer": "adam", "momentum": 0.9}


def multirun(
    task: Callable[[Any], Any], *words: str, folder: Path, config: dict[str, Any] | None = None,
    params: dict[str, str] | None = None,
) -> list[Any]:  # fmt: skip
    """What the sweeper gives back: batches of JobReturn. params: words in the app's config."""
    GlobalHydra.instance().clear()
    in_config = {"hydra": {"sweeper": {"params": params}}} if params else {}
    ConfigStore.instance().store(name="caviar_test", node={**(config or CONFIG), **in_config})
    app = Hydra.create_main_hydra2(task_name="app", config_search_path=create_config_search_path(None))
    own = ["hydra/sweeper=caviar", f"hydra.sweep.dir={folder}", *QUIET]
    try:
        with fast_yaml():
            found: list[Any] = app.multirun("caviar_test", task, [*own, *words], with_log_configuration=False)
    finally:
        GlobalHydra.instance().clear()
    return found


def flat(batches: list[Any]) -> list[JobReturn]:
    """The jobs of all batches."""
    return [job for batch in batches for job in batch]


def words_of(batches: list[Any]) -> list[str]:
    """The words of each job."""
    return [" ".join(job.overrides or ()) for job in flat(batches)]


class Task:
    """An app that notes its calls. returns: config -> its result."""

    def __init__(self, returns: Callable[[Any], Any] = lambda config: config.x) -> None:
        self.returns = returns
        self.calls: list[dict[str, Any]] = []

    def __call__(self, config: Any) -> Any:
        self.calls.append(dict(config))
        return self.returns(config)
