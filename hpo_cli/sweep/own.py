"""The spaces that options bring along: `space:` of their files, as dimensions that count only while they are chosen."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from hpo_cli import rules
from hpo_cli.errors import ConfigError, Problem, did_you_mean, shown
from hpo_cli.options import Option, list_options, main_config
from hpo_cli.steer.hot import TWINS, canonical
from hpo_cli.sweep.dimension import Condition, Dimension
from hpo_cli.validate import PLAIN, Known

OWN_GROUPS = ("model", "optimizer", "regularization", "batch", "schedule", "loss", "init", "augment")
"""Groups whose options may have a space."""
HOMES = {
    "regularization.dropout": "model",
    "regularization.stochastic_depth": "model",
    "regularization.label_smoothing": "loss",
    "regularization.weight_decay": "optimizer",
}
"""Key -> the group whose option must have a key of that name for it to have an effect."""
NOT_FOR_TEXT = ("regularization.mixup", "regularization.cutmix")
WORDS = ("low", "high", "scale", "step", "choices", "prior", "confidence", "if")
"""What an entry of `space:` may say."""


def own_space(
    choices: Mapping[str, str | Sequence[str]],
    groups: Sequence[str] = OWN_GROUPS,
    *,
    config_dir: Path | None = None,
    taken: Collection[str] = (),
) -> list[Dimension]:
    """The dimensions of the options that are chosen in `groups`, in the order of the groups.

    choices: group -> its option, or all that are listed for it; with several, each one's dimensions count only while
    it is chosen, and are named after it: `adam: optimizer.lr`.   taken: keys that somebody has set or searches by hand,
    which are left out under any of their names.   Also left out is what the choices would refuse: dropout of a model
    that has none, mixing of text.   Raises ConfigError with everything that is wrong with the entries of the files: see
    `space_problems`.
    """
    listed = {group: (found,) if isinstance(found, str) else tuple(found) for group, found in choices.items()}
    known = {group: list_options(group, config_dir=config_dir) for group in listed}
    options = {group: [known[group][name] for name in names if name in known[group]] for group, names in listed.items()}
    problems = [found for group in groups for option in options.get(group, ()) for found in space_problems(option)]
    if problems:
        raise ConfigError.of(problems)
    held = {canonical(key) for key in taken}
    found = []
    for group in groups:
        for option in options.get(group, ()):
            several = len(options[group]) > 1
            brought = _dimensions(option, options, several=several)
            found += [one for one in brought if not held & set(map(canonical, one.keys))]
    return found


def space_groups(choices: Mapping[str, str], *, config_dir: Path | None = None) -> list[str]:
    """The groups whose chosen option has a space."""
    return [group for group in OWN_GROUPS if group in choices and own_space(choices, [group], config_dir=config_dir)]


def space_problems(option: Option) -> Iterator[Problem]:
    """What is wrong with the `space:` of an option file: keys, what it says of them, values outside their rules."""
    known = Known(main_config(), {option.group: option})
    for word, entry in option.space.items():
        where = f"{option.path}: space: {word}"
        is_top = word not in option.keys and word in known.main.defaults
        if not is_top and word not in known.keys(option.group):
            near = did_you_mean(word, known.keys(option.group)) or f"there are {', '.join(known.keys(option.group))}"
            yield Problem(where, f"is no key of {option.group}={option.name}", near)
            continue
        try:
            one = dimension_of(word, word, entry, is_whole=_is_whole(option, word))
            conditions_of(entry)
        except ConfigError as error:
            yield from (Problem(where, found.rule, found.fix) for found in error.problems)
            continue
        rule = _rule(word if is_top else f"{option.group}.{word}", known)
        default = known.main.defaults[word] if is_top else known.default(option.group, word)
        for value in one.ends if one.choices is None else one.choices:
            for found in rules.checked(word, value, rule=rule, default=default)[1]:
                yield Problem(where, f"{shown(value)} {found.rule}", found.fix)


def _rule(key: str, known: Known) -> rules.Rule:
    """The rule of a key, which may stand beside its other name."""
    others = [name for pair in TWINS.items() if key in pair for name in pair if name != key]
    for name in (key, *others):
        group, _, word = name.rpartition(".")
        plain = {} if group not in PLAIN else list_options(group)["default"].rules.get(word, {})
        if found := (known.rule(group, word) if group else known.main.rules.get(word)) or plain:
            return found
    return {}


def _dimensions(option: Option, options: Mapping[str, Sequence[Option]], *, several: bool) -> Iterator[Dimension]:
    mine = (Condition(option.group, (option.name,)),) if several else ()
    for word, entry in option.space.items():
        is_top = word not in option.keys and word in main_config().defaults
        key = word if is_top else f"{option.group}.{word}"
        home = _home(key, options)
        asked = _asked(entry, option, key)
        if home is None or asked is None:
            continue
        name = f"{option.name}: {key}" if several else key
        yield dimension_of(name, key, entry, is_whole=_is_whole(option, word), when=(*mine, *home, *asked))


def dimension_of(
    name: str, key: str, entry: Mapping[str, Any], *, is_whole: bool, when: tuple[Condition, ...] = ()
) -> Dimension:
    """The dimension that an entry of `space:` describes. Raises ConfigError for words and ranges that are none."""
    if not isinstance(entry, Mapping):
        raise ConfigError(name, rule="must be a mapping", fix="write {low: 1, high: 4} or {choices: [a, b]}")
    if unknown := [word for word in entry if word not in WORDS]:
        rule = f"{unknown[0]} is no word of a space ({', '.join(WORDS)})"
        raise ConfigError(name, rule=rule, fix=did_you_mean(str(unknown[0]), WORDS))
    said = {word: entry[word] for word in ("low", "high", "scale", "step", "prior", "confidence") if word in entry}
    if "choices" in entry and not isinstance(entry["choices"], list):
        raise ConfigError(name, rule="choices must be a list", fix="write {choices: [a, b]}")
    if "choices" in entry:
        return Dimension(name, (key,), choices=tuple(entry["choices"]), when=when, **said)
    return Dimension(name, (key,), kind="int" if is_whole else "float", when=when, **said)


def conditions_of(entry: Mapping[str, Any]) -> tuple[Condition, ...]:
    """What the `if` of an entry asks for: `{model.norm: [batch, group]}`, or a text `model.norm=batch`."""
    asked = entry.get("if") or {}
    if isinstance(asked, str):
        key, _, value = asked.partition("=")
        asked = {key.strip(): [_scalar(part.strip()) for part in value.split("|")]}
    return tuple(Condition(key, tuple(v) if isinstance(v, list) else (v,)) for key, v in asked.items())


def _scalar(text: str) -> Any:
    words: dict[str, Any] = {"true": True, "false": False, "null": None}
    if text.lower() in words:
        return words[text.lower()]
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _asked(entry: Mapping[str, Any], option: Option, key: str) -> tuple[Condition, ...] | None:
    """The conditions of an entry that are open; None when the option's own defaults, which nothing varies, refuse."""
    open_ones = []
    for condition in conditions_of(entry):
        group, _, word = condition.key.partition(".")
        if condition.key == key:
            raise ConfigError(key, rule="has a condition on itself", fix="mend its `if`")
        if group == option.group and word in option.keys and word not in option.space:
            if not condition.holds(option.defaults[word]):
                return None
        else:
            open_ones.append(condition)
    return tuple(open_ones)


def _home(key: str, options: Mapping[str, Sequence[Option]]) -> tuple[Condition, ...] | None:
    """When a key has an effect, by the options of the other groups: no condition, some of them, None for never."""
    if key in NOT_FOR_TEXT and any(option.defaults.get("task") == "language" for option in options.get("data", ())):
        return None
    group = HOMES.get(key)
    if group is None or not options.get(group):
        return ()
    fitting = [option.name for option in options[group] if key.rpartition(".")[2] in option.keys]
    if len(fitting) == len(options[group]):
        return ()
    return (Condition(group, tuple(fitting)),) if fitting else None


def _is_whole(option: Option, word: str) -> bool:
    source = option if word in option.keys else main_config()
    kind = source.rules.get(word, {}).get("type") or rules.type_of(source.defaults.get(word))
    return kind == "int"
