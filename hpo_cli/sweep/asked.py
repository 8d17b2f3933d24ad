"""What the words of a sweep ask for, decided: its space, its settings, its aims, the runs of each trial."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hpo_cli.errors import ConfigError
from hpo_cli.plan import RunPlan, direction
from hpo_cli.sweep.search.contract import Aim
from hpo_cli.sweep.settings import SweepSettings
from hpo_cli.sweep.space import Space


@dataclass(frozen=True)
class Asked:
    """A sweep before it begins.

    base: the words of every trial.   first: the first option of each group that is listed.   plan: of both.
    inner: what each run of a trial has besides its setting.
    parent: {run, at} where trials are branches of a run.   launcher: words for a launcher of Hydra's.
    config_dir, config_name: what the words are composed with; those of the parent where there is one.
    """

    words: tuple[str, ...]
    base: tuple[str, ...]
    plan: RunPlan
    space: Space
    settings: SweepSettings
    aims: tuple[Aim, ...]
    inner: tuple[Mapping[str, Any], ...]
    first: Mapping[str, Any]
    parent: Mapping[str, Any] | None = None
    launcher: tuple[str, ...] = ()
    config_dir: Path | None = None
    config_name: str = "config"

    def to_json(self) -> dict[str, Any]:
        """The fields of the event `began`."""
        return {
            "name": self.plan.name,
            "words": list(self.words),
            "base": list(self.base),
            "space": self.space.to_json(),
            "space_base": dict(self.space.base),
            "settings": asdict(self.settings),
            "aims": [asdict(aim) for aim in self.aims],
            "inner": [dict(one) for one in self.inner],
            "epochs": self.plan.epochs,
            "size": self.space.size if self.settings.search == "grid" else None,
            "parent": self.parent,
            "launcher": list(self.launcher),
            "first": dict(self.first),
            "choices": dict(self.plan.choices),
            "config_dir": None if self.config_dir is None else str(self.config_dir.resolve()),
            "config_name": self.config_name,
        }


def aims_of(names: Sequence[str], plan: RunPlan, settings: SweepSettings) -> tuple[Aim, ...]:
    """The objectives: those that are named, or the plan's own. sweep.mode holds for the first."""
    named = names or (plan.objective.name,)
    first = settings.mode or direction(named[0])
    return tuple(Aim(name, first if place == 0 else _direction(name)) for place, name in enumerate(named))


def _direction(name: str) -> Any:
    return "min" if name in ("params", "seconds", "steps", "epochs") else direction(name)


def inner_of(
    found: Sequence[Mapping[str, Any]], plan: RunPlan, settings: SweepSettings
) -> tuple[Mapping[str, Any], ...]:
    """The runs of each trial: lists of seeds as they are, `sweep.seeds` of them, all folds of a cross-validation.

    Raises ConfigError where seeds are given twice.
    """
    seeds: list[dict[str, Any]] = [{}]
    if settings.seeds > 1:
        if any("seed" in one for one in found):
            raise ConfigError("sweep.seeds", settings.seeds, rule="seed= lists them already", fix="give one of the two")
        seeds = [{"seed": plan.seed + i} for i in range(settings.seeds)]
    rows = [{**one, **more} for one in found or ({},) for more in seeds]
    if plan.data.folds is not None and plan.data.fold is None and not any("data.fold" in one for one in found):
        rows = [{**row, "data.fold": fold} for row in rows for fold in range(1, plan.data.folds + 1)]
    return tuple(rows)
