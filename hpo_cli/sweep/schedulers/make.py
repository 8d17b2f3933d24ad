"""The scheduler that a sweep's settings name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hpo_cli.sweep.schedulers.asha import Asha, rung_epochs
from hpo_cli.sweep.schedulers.contract import Scheduler
from hpo_cli.sweep.schedulers.explore import Explorer
from hpo_cli.sweep.schedulers.hyperband import Hyperband, hyperband_table
from hpo_cli.sweep.schedulers.median import Median
from hpo_cli.sweep.schedulers.none import NoScheduler
from hpo_cli.sweep.schedulers.pbt import Pace, Pbt
from hpo_cli.sweep.schedulers.plateau import Plateau
from hpo_cli.sweep.search.contract import Aim
from hpo_cli.sweep.settings import SweepSettings
from hpo_cli.sweep.space import Space


def make_scheduler(
    settings: SweepSettings, *, epochs: int, aims: Sequence[Aim], space: Space, base: Mapping[str, Any]
) -> Scheduler:
    """The scheduler `settings.scheduler`. It judges by the first aim.

    epochs: of a trial that trains to its end.   base: key -> value of the config that settings change.
    Raises ConfigError where the space has nothing that the scheduler could change (pbt).
    """
    mode = aims[0].mode
    match settings.scheduler:
        case "none":
            return NoScheduler()
        case "median":
            return Median(grace=settings.grace, mode=mode)
        case "plateau":
            return Plateau(grace=settings.grace, mode=mode)
        case "asha":
            rungs = rung_epochs(epochs, min_epochs=settings.min_epochs, eta=settings.eta)
            return Asha(epochs=rungs, eta=settings.eta, mode=mode)
        case "hyperband":
            kinds = hyperband_table(epochs, min_epochs=settings.min_epochs, eta=settings.eta)
            return Hyperband(kinds=kinds[: settings.brackets], eta=settings.eta, mode=mode)
        case "pbt":
            explorer = Explorer(space, base, settings.factors, settings.resample)
            return Pbt(pace_of(settings, epochs=epochs, aims=aims), explorer)


def pace_of(settings: SweepSettings, *, epochs: int, aims: Sequence[Aim]) -> Pace:
    """How a population trains, by the settings."""
    return Pace(
        members=settings.population,
        interval=settings.interval,
        epochs=epochs,
        quantile=settings.quantile,
        seed=settings.seed,
        mode=aims[0].mode,
    )
