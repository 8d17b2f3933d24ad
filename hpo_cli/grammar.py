"""The words of a sweep, by Hydra's own grammar: what stays as it is, what is varied, what tells how to search.

    lr=1e-2,1e-3   lr=choice(1e-2,1e-3)   model.depth=range(1,5)   optimizer=glob(ada*)    lists
    lr=interval(1e-4,1e-1)   model.width=int(interval(32,512))                            ranges, both ends included
    lr=sort(...)   lr=shuffle(...)        the order of a grid; a shuffled list has the same order every time
    lr=tag(log,prior:1e-3,high,interval(1e-5,1e-1))                                       more about a list or a range

A tag is `log`, `int`, `prior:VALUE` with a confidence of `low`, `medium` or `high`, or a condition `if:KEY:VALUE`, with
`|` between several values: `if:optimizer:sgd|momentum`, `if:model.norm:batch`. Hydra's grammar takes a tag without
quotes when it has no `=`, comma or bracket: quote one that has (`'if:optimizer=sgd'`, `'prior:[0.9,0.99]'`). Tags stand
in `tag(...)` in front of one `interval`, `range` or `choice(...)`: a bare list `tag(log,1,2)` is no sweep to Hydra.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import Any

from hydra.core.override_parser.types import Override

from hpo_cli import rules
from hpo_cli.diagnose import listed_options, parsed
from hpo_cli.errors import ConfigError, Problem, did_you_mean
from hpo_cli.options import list_groups, list_options, main_config
from hpo_cli.plan import OBJECTIVES
from hpo_cli.sweep.own import OWN_GROUPS, own_space
from hpo_cli.sweep.space import Condition, Dimension
from hpo_cli.validate import RESERVED_AT_TOP, Known, known_for, unknown_key

__all__ = ["INNER", "OWN_GROUPS", "SweepWords", "own_space", "read_sweep_words"]

INNER = ("seed", "data.fold")
"""Keys whose lists are runs of one setting, of which the mean counts, and never something to search."""
MEASURED = ("params", "seconds", "steps", "epochs")
"""Aims beside the metrics, which every run has."""


@dataclass(frozen=True)
class SweepWords:
    """The words of one sweep, told apart.

    base: those that every run has.   dimensions: what is varied, in the order of the words.   sweep, launcher: `sweep=`,
    `sweep.*` and Hydra's own words, as they were typed.   aims: the names in `objective=`, none when it is not given.
    inner: the setting of each run of a trial, from lists of INNER keys.   groups: those that the words name.
    """

    base: tuple[str, ...]
    dimensions: tuple[Dimension, ...] = ()
    sweep: tuple[str, ...] = ()
    launcher: tuple[str, ...] = ()
    aims: tuple[str, ...] = ()
    inner: tuple[Mapping[str, Any], ...] = ()
    groups: tuple[str, ...] = ()

    @property
    def has_ranges(self) -> bool:
        """Whether something else than a group is varied: no option's own space is searched then."""
        return any(key not in self.groups for one in self.dimensions for key in one.keys)

    @property
    def taken(self) -> tuple[str, ...]:
        """The keys that the words set or vary."""
        plain = [word.lstrip("+~").partition("=")[0] for word in self.base]
        return (*plain, *(key.lstrip("+") for one in self.dimensions for key in one.keys))


@dataclass
class _Reading:
    """What is found while the words are read one by one."""

    config_dir: Path | None
    base: list[str] = field(default_factory=list)
    dimensions: list[Dimension] = field(default_factory=list)
    aims: tuple[str, ...] = ()
    inner: dict[str, list[Any]] = field(default_factory=dict)
    listed: dict[str, tuple[str, ...]] = field(default_factory=dict)
    varied: set[str] = field(default_factory=set)
    problems: list[Problem] = field(default_factory=list)


def read_sweep_words(words: Sequence[str], *, config_dir: Path | None = None) -> SweepWords:
    """Tell the words of a sweep apart. Raises ConfigError with every word that is wrong.

    A key that only some of the listed options have (`optimizer=adam,sgd optimizer.momentum=0.9`) is varied, or set,
    for those alone. `sweep.zip=[[lr,batch_size]]` makes one dimension of two lists of one length.
    """
    found = {word: parsed(word) for word in words}
    problems = [problem for problem in found.values() if isinstance(problem, Problem)]
    overrides = {word: override for word, override in found.items() if isinstance(override, Override)}
    rooms = {word: _room(override) for word, override in overrides.items()}
    of_run = {word: override for word, override in overrides.items() if rooms[word] == "run"}
    groups = list_groups(config_dir=config_dir)
    reading = _Reading(config_dir, problems=problems)
    _read_groups(of_run, groups, reading)
    for word, override in of_run.items():
        try:
            _read_word(word, override, groups, reading)
        except ConfigError as error:
            reading.problems.extend(error.problems)
    of_sweep = tuple(word for word in words if rooms.get(word) == "sweep")
    reading.problems.extend(_several(overrides[word]) for word in of_sweep if overrides[word].is_sweep_override())
    dimensions = _zipped(reading, [overrides[word] for word in of_sweep])
    for condition in dict.fromkeys((one.name, condition) for one in dimensions for condition in one.when):
        reading.problems.extend(_condition_problems(*condition, groups, reading))
    if reading.problems:
        raise ConfigError.of(reading.problems)
    return SweepWords(
        base=tuple(reading.base),
        dimensions=tuple(dimensions),
        sweep=of_sweep,
        launcher=tuple(word for word in words if rooms.get(word) == "hydra"),
        aims=reading.aims,
        inner=tuple(dict(zip(reading.inner, row, strict=True)) for row in product(*reading.inner.values()))
        if reading.inner
        else (),
        groups=tuple(o.key_or_group for o in of_run.values() if o.key_or_group in groups),
    )


def _room(override: Override) -> str:
    head = override.key_or_group.split(".")[0].split("/")[0]
    return head if head in ("sweep", "hydra") else "run"


def _several(override: Override) -> Problem:
    return Problem(
        override.key_or_group, "takes one value: a sweep is not swept itself", "give one, or a list as [a,b]"
    )


def _read_groups(overrides: Mapping[str, Override], groups: Sequence[str], reading: _Reading) -> None:
    """The options that are listed for each group, before the keys that depend on them are looked at."""
    for override in overrides.values():
        group = override.key_or_group
        if group not in groups or override.is_delete():
            continue
        options = list_options(group, config_dir=reading.config_dir)
        names = listed_values(override, options=tuple(options)) if override.is_sweep_override() else [override.value()]
        if override.is_sweep_override():
            reading.varied.add(group)
            reading.problems.extend(_unknown_options(group, names, options))
        reading.listed[group] = tuple(str(name) for name in names if str(name) in options)


def _unknown_options(group: str, names: Sequence[Any], options: Mapping[str, Any]) -> Iterator[Problem]:
    for name in names:
        if str(name) not in options and not (group == "experiment" and (name is None or isinstance(name, list))):
            near = did_you_mean(str(name), options)
            yield Problem(group, f"must be one of {', '.join(options)}", near, name)
    if not names:
        yield Problem(group, f"no option fits; there are {', '.join(options)}", "mend the glob")


def _read_word(word: str, override: Override, groups: Sequence[str], reading: _Reading) -> None:
    key = override.key_or_group
    if key == "objective":
        _read_objective(word, override, reading)
    elif not override.is_sweep_override():
        _read_plain(word, override, groups, reading)
    elif key in groups:
        names = listed_values(override, options=tuple(list_options(key, config_dir=reading.config_dir)))
        if all(isinstance(name, str) for name in names) or key == "experiment":
            reading.dimensions.extend(_one(key, override, names) if names else ())
    elif key in INNER:
        reading.inner[key] = _inner_values(key, override)
    else:
        reading.dimensions.append(_of_key(override, groups, reading))


def _one(key: str, override: Override, names: Sequence[Any]) -> list[Dimension]:
    told = Tags.read(key, override)
    return [Dimension(key, (override.get_key_element(),), choices=tuple(names), when=told.when, **told.belief)]


def _read_objective(word: str, override: Override, reading: _Reading) -> None:
    value = override.value()
    if override.is_sweep_override():
        fix = "write several aims as objective=[val/accuracy,params]"
        raise ConfigError("objective", rule="is what a sweep is judged by, and is not varied", fix=fix)
    aims = value if isinstance(value, list) else [value]
    if not isinstance(value, list):
        reading.base.append(word)
    known = [*dict.fromkeys(name for names in OBJECTIVES.values() for name in names), *MEASURED]
    for aim in aims:
        is_metric = isinstance(aim, str) and aim.startswith(("val/", "train/"))
        if aim is not None and aim not in known and not is_metric:
            fix = did_you_mean(str(aim), known) or f"there are {', '.join(known)}"
            raise ConfigError("objective", aim, rule="is nothing that a run can be judged by", fix=fix)
    if not aims or aims[0] in MEASURED:
        fix = "put it first: objective=[val/accuracy,params]"
        raise ConfigError("objective", value, rule="the first aim is what each run is judged by, a metric", fix=fix)
    if isinstance(value, list):
        if len(set(map(str, aims))) < len(aims):
            raise ConfigError("objective", value, rule="names an aim twice", fix="name each once")
        reading.base.append(f"objective={aims[0]}")
    reading.aims = tuple(aim for aim in aims if aim is not None)


def _inner_values(key: str, override: Override) -> list[Any]:
    if override.is_interval_sweep():
        fix = "list them, or give sweep.seeds=3" if key == "seed" else "list them"
        raise ConfigError(key, rule="is averaged over and never searched", fix=fix)
    return listed_values(override)


def _read_plain(word: str, override: Override, groups: Sequence[str], reading: _Reading) -> None:
    """A word with one value: of every run, or of those whose option has the key."""
    key = override.key_or_group
    group = key.split(".")[0]
    if group in reading.varied and "." in key and not _is_added(override):
        having = _having(key, groups, reading)
        if having and len(having) < len(reading.listed[group]):
            only = Condition(group, having)
            reading.dimensions.append(Dimension(key, (key,), choices=(override.value(),), when=(only,)))
            return
    reading.base.append(word)


def _is_added(override: Override) -> bool:
    return bool(override.is_add() or override.is_force_add() or override.is_delete() or override.package)


def _having(key: str, groups: Sequence[str], reading: _Reading) -> tuple[str, ...]:
    """The listed options of the key's group that have the key."""
    group, _, rest = key.partition(".")
    names = reading.listed[group]
    return tuple(
        name for name in names if rest.split(".")[0] in (*_known(group, name, reading).keys(group), "_target_")
    )


def _known(group: str, name: str, reading: _Reading) -> Known:
    return known_for({group: name} if name else {}, config_dir=reading.config_dir)


def _of_key(override: Override, groups: Sequence[str], reading: _Reading) -> Dimension:
    """The dimension of a sweep word that varies a key. Raises ConfigError."""
    key = override.key_or_group
    only: tuple[Condition, ...] = ()
    known = Known(main_config())
    group, _, rest = key.partition(".")
    if not _is_added(override):
        names = _options_of(group, reading) if group in groups and rest else ()
        having = tuple(n for n in names if rest.split(".")[0] in _known(group, n, reading).keys(group))
        if names and not having:
            raise ConfigError.of([unknown_key(group, rest, _known(group, names[0], reading))])
        if not names:
            _check_key(key, groups, known, reading)
        elif group in reading.varied and len(having) < len(names):
            only = (Condition(group, having),)
        known = _known(group, having[0], reading) if having else known
    default, rule = _about(key, known)
    return dimension_of_word(override, default=default, rule=rule, when=only)


def _options_of(group: str, reading: _Reading) -> tuple[str, ...]:
    """The options that a group may have in this sweep: those listed, else its default and what other options bring."""
    if group in reading.listed:
        return reading.listed[group]
    return listed_options(group, reading.listed, config_dir=reading.config_dir)


def _check_key(key: str, groups: Sequence[str], known: Known, reading: _Reading) -> None:
    head, _, rest = key.partition(".")
    main = known.main.defaults
    if head in main and head not in RESERVED_AT_TOP and isinstance(main[head], dict) == bool(rest):
        if rest and rest.split(".")[0] not in known.keys(head):
            raise ConfigError.of([unknown_key(head, rest, known)])
        return
    dotted = list(_dotted_keys(groups, reading))
    ends = [name for name in dotted if name.rpartition(".")[2] == key]
    shared = [name for name in ends if name.startswith("regularization.")] or ends
    words = [word for word in main if word not in RESERVED_AT_TOP]
    near = f"did you mean {shared[0]}?" if shared else did_you_mean(key, [*words, *groups, *dotted])
    raise ConfigError(key, rule="is no key of the config", fix=near or "see hpo-run --help")


def _dotted_keys(groups: Sequence[str], reading: _Reading) -> Iterator[str]:
    main = main_config().defaults
    for group in dict.fromkeys((*groups, *(key for key, value in main.items() if isinstance(value, dict)))):
        for name in (_options_of(group, reading) if group in groups else ()) or ("",):
            yield from (f"{group}.{key}" for key in _known(group, name, reading).keys(group))


def _about(key: str, known: Known) -> tuple[Any, rules.Rule]:
    group, _, rest = key.partition(".")
    if rest:
        return known.default(group, rest), known.rule(group, rest)
    return known.main.defaults.get(key), known.main.rules.get(key, {})


def _condition_problems(name: str, condition: Condition, groups: Sequence[str], reading: _Reading) -> Iterator[Problem]:
    """What is wrong with what a condition asks for: a key that there is not, an option that there is not."""
    if condition.key in groups:
        options = list_options(condition.key, config_dir=reading.config_dir)
        unknown = [value for value in condition.values if str(value) not in options]
        yield from (
            Problem(
                name,
                f"its condition names {condition.key}={value}, which is none of {', '.join(options)}",
                did_you_mean(str(value), options),
            )
            for value in unknown
        )
        return
    try:
        group, _, rest = condition.key.partition(".")
        names = _options_of(group, reading) if group in groups and rest else ()
        if names and not any(rest in _known(group, one, reading).keys(group) for one in names):
            raise ConfigError.of([unknown_key(group, rest, _known(group, names[0], reading))])
        if not names:
            _check_key(condition.key, groups, Known(main_config()), reading)
    except ConfigError as error:
        yield from (replace(problem, key=f"{name}: the condition {problem.key}") for problem in error.problems)


def _zipped(reading: _Reading, of_sweep: Sequence[Override]) -> list[Dimension]:
    """The dimensions, those that `sweep.zip` names joined to one where the first of them stands."""
    dimensions = list(reading.dimensions)
    for override in of_sweep:
        if override.key_or_group == "sweep.zip" and isinstance(lists := override.value(), list):
            for names in lists:
                try:
                    dimensions = joined(dimensions, names)
                except ConfigError as error:
                    reading.problems.extend(error.problems)
    return dimensions
