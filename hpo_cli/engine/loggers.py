"""Lightning's loggers, which get a copy of our own record."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from hpo_cli.components.build import bound, build, resolve
from hpo_cli.errors import ConfigError
from hpo_cli.plan import RunPlan
from hpo_cli.record.flat import flatten_plan

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


def make_logger(plan: RunPlan, folder: Path) -> Any:
    """The Lightning logger of the plan for the run in `folder`, None for our own record alone."""
    if plan.logger.target is None:
        return None
    os.environ.setdefault("WANDB_SILENT", "true")  # our own lines say where the run is
    given = {"save_dir": str(folder), "run_name": folder.name, "name": folder.name, "version": folder.name}
    try:
        return build(plan.logger, **{key: value for key, value in given.items() if key not in plan.logger.args})
    except ConfigError as error:
        if isinstance(error.__cause__, ModuleNotFoundError):
            raise _missing(plan) from error
        raise


def mirror(loggers: Sequence[Any], plan: RunPlan) -> Callable[[Mapping[str, Any]], None] | None:
    """Give the loggers the plan's settings, and what passes a row of metrics on to them; None without loggers."""
    if not loggers:
        return None
    for logger in loggers:
        logger.log_hyperparams(flatten_plan(plan.to_dict()))

    def write(row: Mapping[str, Any]) -> None:
        metrics = {name: value for name, value in row.items() if name not in ("step", "epoch")}
        for logger in loggers:
            logger.log_metrics(metrics, step=row["step"])

    return write


def _missing(plan: RunPlan) -> ConfigError:
    rule = "needs a package that is not installed"
    return ConfigError("logger", plan.logger.option, rule=rule, fix="pip install 'hpo-run[tracking]'")
