"""Changes of knobs that the config itself plans (`schedule.nudges`): what is wrong with them, before a run begins."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from hpo_cli.errors import ConfigError, Problem, did_you_mean
from hpo_cli.options import list_options
from hpo_cli.steer.changes import revised
from hpo_cli.steer.settings import Setting, has, hot_keys

KEY = "schedule.nudges"
Check = Callable[[Setting], Sequence[Problem]]
"""What is wrong with the values of a setting."""


def nudge_problems(config: Mapping[str, Any], choices: Mapping[str, str], *, check: Check) -> list[Problem]:
    """Everything that is wrong with the planned nudges of a config that is right otherwise, each on top of the last."""
    setting, problems = Setting(dict(config), dict(choices)), list(_order_problems(config))
    for index, nudge in enumerate(config["schedule"]["nudges"]):
        place = f"{KEY}[{index}]"
        problems.extend(_place_problems(place, nudge))
        try:
            setting = changed(setting, nudge, place=place)
        except ConfigError as error:
            problems.extend(error.problems)
        else:
            problems.extend(moved(check(setting), place))
    return problems


def changed(setting: Setting, nudge: Mapping[str, Any], *, place: str) -> Setting:
    """The setting after a planned nudge. Raises ConfigError, its keys within `place`."""
    changes = {key: value for key, value in nudge.items() if key != "at"}
    known = hot_keys(setting.config)
    unknown = [key for key in changes if not has(setting.config, key)]
    if unknown:
        rule = "is no knob that can change while this run trains"
        raise ConfigError.of(Problem(f"{place}.{key}", rule, did_you_mean(str(key), known)) for key in unknown)
    try:
        return revised(*setting, {key: ["=", _whole(key, value)] for key, value in changes.items()})
    except ConfigError as error:
        raise ConfigError.of(moved(error.problems, place)) from None


def moved(problems: Sequence[Problem], place: str) -> list[Problem]:
    """The same problems of keys within `place`."""
    return [Problem(f"{place}.{problem.key}", problem.rule, problem.fix, problem.value) for problem in problems]


def whole_schedules(nudges: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Planned nudges in which a schedule that was only named has its keys."""
    return [{key: _whole(key, value) for key, value in nudge.items()} for nudge in nudges]


def _whole(key: str, value: Any) -> Any:
    """A schedule's knob from the option's name; any other value is itself."""
    option = list_options("schedule").get(value) if key == "schedule" and isinstance(value, str) else None
    return value if option is None else {"option": option.name, **option.defaults}


def _place_problems(place: str, nudge: Mapping[str, Any]) -> Iterator[Problem]:
    at = nudge.get("at")
    if not _is_share(at):
        rule = "must say when: a share of training, at least 0 and below 1"
        yield Problem(f"{place}.at", rule, f"write {KEY}=[{{at: 0.5, lr: 1e-4}}]", at)
    if len(nudge) == ("at" in nudge):
        yield Problem(place, "changes nothing", "name a knob and its new value, as lr: 1e-4")


def _order_problems(config: Mapping[str, Any]) -> Iterator[Problem]:
    shares = [nudge.get("at") for nudge in config["schedule"]["nudges"]]
    if all(map(_is_share, shares)) and shares != sorted(shares):
        yield Problem(KEY, "must stand in the order in which they take force", "sort them by `at`", shares)


def _is_share(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < 1
