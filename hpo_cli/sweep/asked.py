"""What the words of a sweep ask for, decided: its space, its settings, its aims, the runs of each trial."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hpo_cli.errors import ConfigError, Problem, shown
from hpo_cli.plan import OBJECTIVES, RunPlan, direction
from hpo_cli.sweep.schedulers.make import make_scheduler
from hpo_cli.sweep.search.contract import Aim
from hpo_cli.sweep.search.make import make_search
from hpo_cli.sweep.settings import SweepSettings
from hpo_cli.sweep.space import Space


@dataclass(frozen=True)
class Asked:
    """A sweep before it begins.

    base: the words of every trial.   first: the first option of each group that is listed.   plan: of both.
    inner: what each run of a trial has besides its setting.
    parent: {run, at} where trials are branches of a run.   launcher: words for a launcher of Hydra's.
    config_dir, config_name: what the words are composed with; those of the parent where there is one.
    open: keys of the settings that the words left open, and the space decided.
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
    open: tuple[str, ...] = ()

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
            "open": list(self.open),
        }


def aims_of(names: Sequence[str], plan: RunPlan, settings: SweepSettings) -> tuple[Aim, ...]:
    """The objectives: those that are named, or the plan's own. sweep.mode holds for the first.

    Raises ConfigError where it says that more is better of a loss, or less of an accuracy: every run keeps its best
    state by the metric itself.
    """
    named = names or (plan.objective.name,)
    own = direction(named[0])
    if settings.mode not in (None, own) and any(named[0] in known for known in OBJECTIVES.values()):
        rule = f"is not how a run is judged by {named[0]} ({own})"
        raise ConfigError("sweep.mode", settings.mode, rule=rule, fix="leave it out, or name another objective=")
    first = settings.mode or direction(named[0])
    return tuple(Aim(name, first if place == 0 else _direction(name)) for place, name in enumerate(named))


def _direction(name: str) -> Any:
    return "min" if name in ("params", "seconds", "steps", "epochs") else direction(name)


def inner_of(
    found: Sequence[Mapping[str, Any]], plan: RunPlan, settings: SweepSettings
) -> tuple[Mapping[str, Any], ...]:
    """The runs of each trial: lists of seeds as they are, `sweep.seeds` of them, all folds of a cross-validation.

    Raises ConfigError where seeds are given twice, two runs would be the same, or a fold is none.
    """
    seeds: list[dict[str, Any]] = [{}]
    if settings.seeds > 1:
        if any("seed" in one for one in found):
            raise ConfigError("sweep.seeds", settings.seeds, rule="seed= lists them already", fix="give one of the two")
        seeds = [{"seed": plan.seed + i} for i in range(settings.seeds)]
    rows = [{**one, **more} for one in found or ({},) for more in seeds]
    if plan.data.folds is not None and plan.data.fold is None and not any("data.fold" in one for one in found):
        rows = [{**row, "data.fold": fold} for row in rows for fold in range(1, plan.data.folds + 1)]
    if problems := list(_row_problems(rows, plan)):
        raise ConfigError.of(problems)
    return tuple(rows)


def _row_problems(rows: Sequence[Mapping[str, Any]], plan: RunPlan) -> Iterator[Problem]:
    for place, row in enumerate(rows):
        if row in rows[:place]:
            told = " ".join(f"{key}={shown(value)}" for key, value in row.items())
            yield Problem(next(iter(row)), f"is listed twice ({told})", "list each once: the mean of the runs counts")
    for fold in dict.fromkeys(row["data.fold"] for row in rows if row.get("data.fold") is not None):
        if plan.data.folds is None:
            yield Problem("data.fold", "is one of data.folds, which is not given", "add data.folds=5", fold)
        elif not 1 <= fold <= plan.data.folds:
            yield Problem(
                "data.fold", f"must be 1 .. {plan.data.folds}, as data.folds={plan.data.folds} says", "", fold
            )


def check_sweep(settings: SweepSettings, space: Space, aims: Sequence[Aim], *, epochs: int) -> None:
    """Whether a sweep could be driven so: its search and its scheduler take the space and the aims.

    settings: decided.   epochs: of a trial that trains to its end. Raises ConfigError with what either of them refuses.
    """
    problems: list[Problem] = []
    for make in (
        lambda: make_search(settings, space, aims, base=space.base),
        lambda: make_scheduler(settings, epochs=epochs, aims=aims, space=space, base=space.base),
    ):
        try:
            make()
        except ConfigError as error:
            problems.extend(error.problems)
    if problems:
        raise ConfigError.of(problems)
