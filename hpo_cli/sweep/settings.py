"""The keys `sweep.*`, decided: how a sweep searches, for how long, and what it does about failures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from hpo_cli import rules
from hpo_cli.errors import ConfigError, Problem, did_you_mean
from hpo_cli.options import SWEEP, Option, list_options
from hpo_cli.sweep.own import OWN_GROUPS
from hpo_cli.sweep.space import Space

SearchName = Literal["grid", "random", "qmc", "tpe", "gp", "cmaes", "sensitivity", "zoom"]
SchedulerName = Literal["none", "median", "plateau", "asha", "hyperband", "pbt"]

TRIALS = 20
"""How many trials an endless search has when nobody says."""
MOST_SETTINGS = 1_000_000
"""A grid of more settings than that is not listed."""
UNLEARNT = ("random", "qmc")
"""Searches that need no results: a population can be drawn from them at once."""


@dataclass(frozen=True)
class SweepSettings:
    """See conf/sweep/default.yaml, which says what each key means and holds the defaults.

    option: the file of conf/sweep/ that was chosen.   search: null until `decide` has seen the space.
    """

    option: str
    search: SearchName | None
    scheduler: SchedulerName
    trials: int | None
    minutes: float | None
    epochs: int | None
    target: float | None
    workers: int | None
    seeds: int
    seed: int
    groups: tuple[str, ...] | None
    zip: tuple[tuple[str, ...], ...]
    reduce: Literal["best", "last"]
    mode: Literal["min", "max"] | None
    timeout_minutes: float | None
    retries: int
    on_failure: Literal["continue", "stop"]
    duplicates: Literal["skip", "allow"]
    storage: str | None
    keep_best: int
    disk_gb: float | None
    worker: Literal["warm", "fork"]
    dir: str | None
    resume: str | None
    startup: int
    eta: int
    min_epochs: int
    brackets: int | None
    grace: int
    population: int
    interval: int
    quantile: float
    factors: tuple[float, ...]
    resample: float
    points: int
    zoom: float


def checked_settings(given: Mapping[str, Any], *, config_dir: Path | None = None) -> SweepSettings:
    """The settings of the option that `given` names under an empty key, with the values given for other keys.

    What is null stays null: `decide` knows the space. Raises ConfigError with every key that is wrong.
    """
    options = list_options(SWEEP, config_dir=config_dir)
    name = given.get("", "default")
    problems = []
    if not isinstance(name, str) or name not in options:
        near = did_you_mean(str(name), options)
        problems.append(Problem(SWEEP, f"must be one of {', '.join(options)}", near, name))
        name = "default"
    known = _Keys(options["default"], options[name])
    values, wrong = known.checked({key: value for key, value in given.items() if key})
    problems.extend(wrong)
    if not problems:
        problems.extend(_pair_problems(values))
    if problems:
        raise ConfigError.of(problems)
    return SweepSettings(option=name, **{key: _frozen(value) for key, value in values.items()})


def decide(settings: SweepSettings, space: Space) -> SweepSettings:
    """The settings with search and trials decided: a grid where all values are listed, each of them once.

    `trials` stays null for sensitivity, whose search knows how many there are. Raises ConfigError where the search
    cannot go over this space.
    """
    search = settings.search or ("grid" if all(one.is_list for one in space.dimensions) else "random")
    if settings.scheduler == "pbt" and settings.search is None:
        search = "random"
    decided = replace(settings, search=search)
    if problems := [*_combination_problems(search, settings.scheduler), *_grid_problems(search, space)]:
        raise ConfigError.of(problems)
    return replace(decided, trials=_trials(decided, space))


def trials_anew(was: SweepSettings, settings: SweepSettings, *, space: Space, new: Space) -> int | None:
    """How many trials a sweep has that goes on in another space, where its words leave the number open.

    was: decided, for `space`.   settings: those for the space `new`. What its search begins with there, and no number
    for a grid, which ends by itself and has trials of the old one besides; the old number where somebody has given it
    meanwhile. Raises ConfigError where the search cannot go over the new space.
    """
    decided = decide(replace(settings, trials=None), new)
    anew = None if decided.search == "grid" else decided.trials
    return anew if was.trials == decide(replace(was, trials=None), space).trials else was.trials


def _trials(settings: SweepSettings, space: Space) -> int | None:
    if settings.search == "sensitivity":
        return settings.trials
    if settings.search == "grid" and space.size is not None:
        return min(space.size, settings.trials or space.size)
    if settings.scheduler == "pbt":
        return settings.trials or settings.population
    if not space.dimensions:
        return 1
    return settings.trials or TRIALS


@dataclass(frozen=True)
class _Keys:
    """The keys of an option, with what the default says where it is silent."""

    default: Option
    option: Option

    def checked(self, given: Mapping[str, Any]) -> tuple[dict[str, Any], list[Problem]]:
        """All values, in their proper types, and what is wrong with them."""
        values = {**self.default.defaults, **self.option.defaults, **given}
        problems = []
        for key, value in values.items():
            if key not in self.default.keys:
                near = did_you_mean(key, self.default.keys).replace("did you mean ", f"did you mean {SWEEP}.")
                problems.append(
                    Problem(f"{SWEEP}.{key}", "is no key of a sweep", near or "see hpo-run --help sweep", value)
                )
                continue
            rule = self.option.rules.get(key) or self.default.rules.get(key, {})
            default = self.default.defaults[key]
            values[key], wrong = rules.checked(f"{SWEEP}.{key}", value, rule=rule, default=default)
            problems.extend(wrong or _list_problems(key, value))
        return values, problems


def _list_problems(key: str, value: Any) -> Iterator[Problem]:
    """What the words of a rule cannot say."""
    if key in ("dir", "resume") and value is not None and not value.strip():
        yield Problem(f"{SWEEP}.{key}", "must be a folder", "give one, or leave it out", value)
    if key == "storage" and value not in (None, "none") and "://" not in value:
        rule = "must be a URL, none or null"
        yield Problem(f"{SWEEP}.storage", rule, f"write {SWEEP}.storage=sqlite:///sweep.db", value)
    if key == "factors" and not value:
        yield Problem(f"{SWEEP}.factors", "must name a factor", f"write {SWEEP}.factors=[0.8,1.25]", value)
    if key == "groups" and value is not None:
        for group in value:
            if group not in OWN_GROUPS:
                near = did_you_mean(str(group), OWN_GROUPS) or f"groups with a space are {', '.join(OWN_GROUPS)}"
                yield Problem(f"{SWEEP}.groups", "is no group with a space", near, group)
    if key == "zip" and not all(isinstance(names, list) and len(names) > 1 for names in value):
        yield Problem(f"{SWEEP}.zip", "must be a list of lists of keys", f"write {SWEEP}.zip=[[lr,batch_size]]", value)


def _pair_problems(values: Mapping[str, Any]) -> Iterator[Problem]:
    if values["dir"] is not None and values["resume"] is not None:
        yield Problem(
            f"{SWEEP}.resume", f"names the folder, and so does {SWEEP}.dir", "give one of them", values["resume"]
        )
    yield from _combination_problems(values["search"], values["scheduler"])


def _combination_problems(search: str | None, scheduler: str) -> Iterator[Problem]:
    if scheduler == "pbt" and search not in (None, *UNLEARNT):
        rule = f"draws its members at once, and {search} does not"
        yield Problem(f"{SWEEP}.scheduler", rule, f"set {SWEEP}.search=random or qmc", scheduler)
    if search == "sensitivity" and scheduler != "none":
        rule = "ends trials early, and sensitivity compares what they reach in the same time"
        yield Problem(f"{SWEEP}.scheduler", rule, f"leave it out, or set {SWEEP}.search=random", scheduler)


def _grid_problems(search: str | None, space: Space) -> Iterator[Problem]:
    for one in space.dimensions if search == "grid" else ():
        if one.size is None:
            fix = f"write {one.keys[0]}=range(low,high,step) or a list, or set {SWEEP}.search=random"
            yield Problem(one.name, f"is a range without steps ({one}), and a grid lists its values", fix)
    if search == "grid" and (space.size or 0) > MOST_SETTINGS:
        rule = f"would list {space.size:,} settings, and {MOST_SETTINGS:,} is the most"
        yield Problem(f"{SWEEP}.search", rule, f"list fewer values, or set {SWEEP}.search=random", search)


def _frozen(value: Any) -> Any:
    return tuple(map(_frozen, value)) if isinstance(value, list) else value
