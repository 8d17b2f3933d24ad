"""Lightning's loggers, which get a copy of our own record."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from hpo_cli.components.build import bound, build, resolve
from hpo_cli.engine.logged import catch_up, going_on, log_row, recorded_rows
from hpo_cli.errors import ConfigError
from hpo_cli.plan import RunPlan

PACKAGES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "TensorBoardLogger": ("tensorboard", "tensorboardX"),
        "MLFlowLogger": ("mlflow",),
        "WandbLogger": ("wandb",),
    }
)
"""Logger -> packages of which it needs one."""


def check_logger(plan: RunPlan) -> None:
    """Raise ConfigError for keys that the logger does not take and for a package that is missing. Builds nothing."""
    if plan.logger.target is None:
        return
    target = resolve(plan.logger, allow=plan.allow_targets)
    bound(plan.logger, target, {})
    packages = PACKAGES.get(getattr(target, "__name__", ""), ())
    if packages and not any(importlib.util.find_spec(name) for name in packages):
        raise _missing(plan)


def make_logger(plan: RunPlan, folder: Path, *, after: int = 0) -> Any:
    """The Lightning logger of the plan for the run in `folder`, None for our own record alone.

    after: the step of the state that training goes on from; the logger goes on in the same place.
    """
    if plan.logger.target is None:
        return None
    os.environ.setdefault("WANDB_SILENT", "true")  # our own lines say where the run is
    given = {"save_dir": str(folder), "run_name": folder.name, "name": folder.name, "version": folder.name}
    injected = {key: value for key, value in given.items() if key not in plan.logger.args}
    try:
        logger = build(plan.logger, **injected)
        if not recorded_rows(folder):
            return logger
        again = going_on(logger, plan, folder=folder, after=after)
        return build(replace(plan.logger, args={**plan.logger.args, **again}), **injected) if again else logger
    except ConfigError as error:
        if isinstance(error.__cause__, ModuleNotFoundError):
            raise _missing(plan) from error
        raise


class Mirror:
    """Passes each new row of metrics on to the loggers."""

    def __init__(self, loggers: Sequence[Any]) -> None:
        self._loggers = loggers

    def __call__(self, row: Mapping[str, Any]) -> None:
        """Log the metrics of one row."""
        for logger in self._loggers:
            log_row(logger, row)

    def save(self) -> None:
        """Bring what the loggers hold in memory to their files, before a checkpoint from which a run may go on."""
        for logger in self._loggers:
            logger.save()


def mirror(loggers: Sequence[Any], plan: RunPlan, *, folder: Path | None = None, after: int = 0) -> Mirror | None:
    """Give the loggers the plan's settings, and what passes a row of metrics on to them; None without loggers.

    folder: the run's; what an earlier process recorded there and the loggers lost is logged again.
    """
    if not loggers:
        return None
    for logger in loggers:
        catch_up(logger, plan, folder=folder, after=after)
    return Mirror(loggers)


def _missing(plan: RunPlan) -> ConfigError:
    rule = "needs a package that is not installed"
    return ConfigError("logger", plan.logger.option, rule=rule, fix="pip install 'hpo-run[tracking]'")
