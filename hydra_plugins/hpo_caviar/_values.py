"""What an app returns, as the values of its aims, and the best of them as a file."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.errors import HydraException
from omegaconf import OmegaConf

from hpo_cli.report.leaderboard import pareto_front
from hpo_cli.sweep.search.contract import Aim
from hpo_cli.sweep.state import Trial, Values

RESULTS = "optimization_results.yaml"
_MODES = {"minimize": "min", "maximize": "max", "min": "min", "max": "max"}
log = logging.getLogger(__name__)


def aims_of(direction: Any) -> tuple[Aim, ...]:
    """One aim a direction. Raises HydraException for a word that is none."""
    words = [direction] if isinstance(direction, str) else list(direction)
    if not words or any(str(word) not in _MODES for word in words):
        raise HydraException(f"hydra.sweeper.direction={direction}: minimize or maximize, or a list of them")
    names = ["objective"] if len(words) == 1 else [f"objective_{index + 1}" for index in range(len(words))]
    return tuple(Aim(name, _MODES[str(word)]) for name, word in zip(names, words, strict=True))  # type: ignore[arg-type]


def values_of(returned: Any, aims: Sequence[Aim]) -> Values:
    """A value an aim; None where the app returned no finite number, or another number of values."""
    found = list(returned) if isinstance(returned, list | tuple) else [returned]
    if len(found) != len(aims):
        return (None,) * len(aims)
    return tuple(map(_number, found))


def write_best(folder: Path, trials: Sequence[Trial], aims: Sequence[Aim]) -> None:
    """The best setting, or the front of several aims; nothing while no trial has a value."""
    whole = [trial for trial in trials if trial.values and None not in trial.values]
    leading = pareto_front([(trial.number, trial.values or ()) for trial in whole], aims)
    front = [trial for trial in whole if trial.number in leading]
    if not front:
        return
    if len(aims) == 1:
        best = front[0]
        found: dict[str, Any] = {"name": "caviar", "best_params": dict(best.setting), "best_value": best.value}
        log.info("best: %s = %s with %s", aims[0].name, best.value, dict(best.setting) or "the config as it is")
    else:
        rows = [{"params": dict(trial.setting), "values": list(trial.values or ())} for trial in front]
        found = {"name": "caviar", "solutions": rows}
        log.info("%d settings of %d are beaten by no other", len(front), len(whole))
    OmegaConf.save(OmegaConf.create(found), folder / RESULTS)


def _number(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None
