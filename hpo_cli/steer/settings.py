"""Where the knobs are in a resolved config: reading one, setting one, and setting all that a run's ledger names."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, NamedTuple

from hpo_cli.record.line import Line
from hpo_cli.steer.hot import BESIDE_THE_SCHEDULE, HOT, canonical, is_hot, schedule_key, term_of, twins_of

Config = dict[str, Any]

TERM_OF_HEAD = {"classes": "cross_entropy", "one": "bce", "targets": "mse"}
"""The one term of a sum of losses that names none, by the loss's head."""


class Setting(NamedTuple):
    """A resolved config and the options that it was composed from."""

    config: Config
    choices: dict[str, str]


def copied(config: Mapping[str, Any], choices: Mapping[str, str]) -> Setting:
    """A copy that can be written to."""
    return Setting(copy.deepcopy(dict(config)), dict(choices))


def value_of(config: Mapping[str, Any], choices: Mapping[str, str], key: str) -> Any:
    """The value of a knob, under any of its names. Raises KeyError where the config has no such knob.

    The schedule is {"option", "_target_", its keys}, without those that hold for every schedule.
    """
    key = canonical(key)
    if key == "schedule":
        own = {name: value for name, value in config["schedule"].items() if name not in BESIDE_THE_SCHEDULE}
        return {"option": choices.get("schedule", "schedule"), **copy.deepcopy(own)}
    if (name := term_of(key)) is not None:
        return _weight(config, name)
    holder, last = _place(config, key)
    return copy.deepcopy(holder[last])


def has(config: Mapping[str, Any], key: str) -> bool:
    """Whether the config has this hot knob."""
    try:
        value_of(config, {}, key)
    except (KeyError, AttributeError):
        return False
    return is_hot(key)


def hot_keys(config: Mapping[str, Any]) -> list[str]:
    """The hot knobs that the config has, those of its schedule and its loss among them."""
    section = config.get("schedule")
    own = [f"schedule.{name}" for name in section] if isinstance(section, Mapping) else []
    terms = [f"loss.terms.{name}.weight" for name in _terms(config) or ()]
    return [*(key for key in HOT if has(config, key)), *(key for key in own if schedule_key(key)), *terms]


def put(setting: Setting, key: str, value: Any) -> None:
    """Set a knob in place, under all of its names. Raises KeyError where the config has no such knob."""
    config, choices = setting
    if key == "schedule":
        beside = {name: config["schedule"][name] for name in BESIDE_THE_SCHEDULE if name in config["schedule"]}
        own = {name: item for name, item in value.items() if name != "option" and name not in BESIDE_THE_SCHEDULE}
        config["schedule"] = copy.deepcopy(own) | beside
        choices["schedule"] = value["option"]
        return
    if (name := term_of(key)) is not None:
        _put_weight(config, name, value)
        return
    for index, same in enumerate(twins_of(canonical(key))):
        try:
            holder, last = _place(config, same)
        except KeyError:
            if index == 0:
                raise
            continue
        holder[last] = copy.deepcopy(value)


def settled(config: Mapping[str, Any], choices: Mapping[str, str], line: Line) -> Setting:
    """A copy of the config a run was started with, in which the knobs have the values that the living line gave them.

    What a damaged ledger has in place of a knob or its value is passed over.
    """
    setting = copied(config, choices)
    for event in line.chain:
        knobs = event.get("knobs")
        for key, change in knobs.items() if isinstance(knobs, dict) else ():
            if has(setting.config, key) and isinstance(change, dict) and "new" in change:
                _put_recorded(setting, key, change["new"])
    return setting


def is_schedule(value: object) -> bool:
    """Whether a value describes a whole schedule."""
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        return False
    return isinstance(value.get("option"), str) and isinstance(value.get("_target_"), str)


def _put_recorded(setting: Setting, key: str, value: Any) -> None:
    if key != "schedule" or is_schedule(value):
        put(setting, key, value)


def _place(config: Mapping[str, Any], dotted: str) -> tuple[Config, str]:
    """The mapping that holds a key, and the key's last part. Raises KeyError."""
    section, _, last = dotted.rpartition(".")
    holder = config.get(section) if section else config
    if not isinstance(holder, dict) or last not in holder:
        raise KeyError(dotted)
    return holder, last


def _terms(config: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The terms of a loss that is a sum, as the loss itself would fill them in; None for any other loss."""
    loss = config.get("loss")
    if not isinstance(loss, Mapping) or "terms" not in loss:
        return None
    terms = loss["terms"]
    if terms is None and loss.get("head") in TERM_OF_HEAD:
        return {TERM_OF_HEAD[loss["head"]]: 1.0}
    return terms if isinstance(terms, Mapping) else {}


def _weight(config: Mapping[str, Any], name: str) -> Any:
    terms = _terms(config)
    if terms is None:
        raise KeyError(name)
    if name not in terms and config["loss"].get("head") == "several":
        return 1.0  # a target column that is not named weighs 1
    term = terms[name]
    return term.get("weight", 1.0) if isinstance(term, Mapping) else term


def _put_weight(config: Config, name: str, value: Any) -> None:
    _weight(config, name)
    terms = dict(_terms(config) or {})
    old = terms.get(name)
    terms[name] = {**old, "weight": value} if isinstance(old, Mapping) else value
    config["loss"]["terms"] = terms
