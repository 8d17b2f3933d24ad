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

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

from hydra.core.override_parser.types import Override

from hpo_cli.diagnose import parsed
from hpo_cli.errors import ConfigError, Problem, did_you_mean
from hpo_cli.grammar_keys import About, Keys
from hpo_cli.grammar_refused import not_varied, twice
from hpo_cli.grammar_settings import sweep_settings
from hpo_cli.grammar_values import Tags, dimension_of_word, joined, listed_values
from hpo_cli.options import SWEEP
from hpo_cli.plan import OBJECTIVES
from hpo_cli.sweep.own import OWN_GROUPS, own_space
from hpo_cli.sweep.space import Dimension

__all__ = ["INNER", "MEASURED", "OWN_GROUPS", "SweepWords", "own_space", "read_sweep_words", "sweep_settings"]

INNER = ("seed", "data.fold")
"""Keys whose lists are runs of one setting, of which the mean counts, and never something to search."""
MEASURED = ("params", "seconds", "steps", "epochs")
"""Aims beside the metrics, which every run has."""


@dataclass(frozen=True)
class SweepWords:
    """The words of one sweep, told apart.

    base: those that every run has.   dimensions: what is varied, in the order of the words.   sweep: `sweep=` and
    `sweep.*`, as they were typed.   launcher: Hydra's own words.   aims: the names in `objective=`, none when it is not
    given.   inner: the setting of each run of a trial, from lists of INNER keys.   groups: those that the words name.
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
        """Whether a key is varied, and not only groups: no option's own space is searched then."""
        varied = (one for one in self.dimensions if one.size != 1)
        return any(key not in self.groups for one in varied for key in one.keys)

    @property
    def taken(self) -> tuple[str, ...]:
        """The keys that the words set or vary."""
        plain = [word.lstrip("+~").partition("=")[0] for word in self.base]
        return (*plain, *(key.lstrip("+") for one in self.dimensions for key in one.keys))


@dataclass
class _Reading:
    """What is found while the words are read one by one."""

    keys: Keys
    base: list[str] = field(default_factory=list)
    dimensions: list[Dimension] = field(default_factory=list)
    aims: tuple[str, ...] = ()
    inner: dict[str, list[Any]] = field(default_factory=dict)


def read_sweep_words(words: Sequence[str], *, config_dir: Path | None = None) -> SweepWords:
    """Tell the words of a sweep apart. Raises ConfigError with every word that is wrong.

    A key that only some of the listed options have (`optimizer=adam,sgd optimizer.momentum=0.9`) is varied, or set,
    for those alone. `sweep.zip=[[lr,batch_size]]` makes one dimension of two lists of one length.
    """
    told = tell_apart(words, config_dir=config_dir)
    if told.problems:
        raise ConfigError.of(told.problems)
    return told.words


@dataclass(frozen=True)
class Told:
    """The words of a sweep, as far as they can be read, and what is wrong with the others."""

    words: SweepWords
    problems: tuple[Problem, ...]


def tell_apart(words: Sequence[str], *, config_dir: Path | None = None) -> Told:
    """As `read_sweep_words`, for who looks at what else is wrong before it is told."""
    found = {word: parsed(word) for word in words}
    problems = [problem for problem in found.values() if isinstance(problem, Problem)]
    overrides = {word: override for word, override in found.items() if isinstance(override, Override)}
    rooms = {word: _room(override) for word, override in overrides.items()}
    of_run = {word: override for word, override in overrides.items() if rooms[word] == "run"}
    of_sweep = {word: override for word, override in overrides.items() if rooms[word] == SWEEP}
    reading = _Reading(Keys(config_dir))
    problems.extend(_list_groups(of_run.values(), reading.keys))
    problems.extend(twice(of_run.values()))
    for word, override in of_run.items():
        try:
            _read_word(word, override, reading)
        except ConfigError as error:
            problems.extend(error.problems)
    problems.extend(_several(override) for override in of_sweep.values() if override.is_sweep_override())
    dimensions = _zipped(reading.dimensions, of_sweep.values(), problems)
    for one in dimensions:
        problems.extend(
            found for condition in one.when for found in reading.keys.condition_problems(one.name, condition)
        )
    words_told = SweepWords(
        base=tuple(reading.base),
        dimensions=tuple(dimensions),
        sweep=tuple(of_sweep),
        launcher=tuple(word for word in overrides if rooms[word] == "hydra"),
        aims=reading.aims,
        inner=_combined(reading.inner),
        groups=tuple(one.key_or_group for one in of_run.values() if one.key_or_group in reading.keys.groups),
    )
    return Told(words_told, tuple(problems))


def _room(override: Override) -> str:
    head: str = override.key_or_group.split(".")[0].split("/")[0]
    return head if head in (SWEEP, "hydra") else "run"


def _several(override: Override) -> Problem:
    fix = "give one, or a list as [a,b]"
    return Problem(override.key_or_group, "takes one value: a sweep is not swept itself", fix)


def _combined(inner: Mapping[str, Sequence[Any]]) -> tuple[Mapping[str, Any], ...]:
    return tuple(dict(zip(inner, row, strict=True)) for row in product(*inner.values())) if inner else ()


def _list_groups(overrides: Iterable[Override], keys: Keys) -> Iterator[Problem]:
    """Note which options the words list for each group, before the keys that depend on them are looked at."""
    for override in overrides:
        group = override.key_or_group
        if group not in keys.groups or override.is_delete():
            continue
        options = keys.options(group)
        names = [override.value()]
        if override.is_sweep_override():
            names = listed_values(override, options=tuple(options))
            keys.varied.add(group)
            yield from _unknown_options(group, names, tuple(options))
        keys.listed[group] = tuple(str(name) for name in names if str(name) in options)


def _unknown_options(group: str, names: Sequence[Any], options: Sequence[str]) -> Iterator[Problem]:
    for name in names:
        if str(name) not in options and not (group == "experiment" and (name is None or isinstance(name, list))):
            yield Problem(group, f"must be one of {', '.join(options)}", did_you_mean(str(name), options), name)
    if not names:
        yield Problem(group, f"no option fits; there are {', '.join(options)}", "mend the glob")


def _read_word(word: str, override: Override, reading: _Reading) -> None:
    """Put a word where it belongs. Raises ConfigError."""
    key = override.key_or_group
    if problems := list(not_varied(override)):
        raise ConfigError.of(problems)
    if key == "objective":
        _read_objective(word, override, reading)
    elif not override.is_sweep_override():
        _read_plain(word, override, reading)
    elif key in reading.keys.groups:
        reading.dimensions.extend(_of_group(override, tuple(reading.keys.options(key))))
    elif key in INNER:
        reading.inner[key] = _inner_values(override)
    else:
        about = About() if _is_added(override) else reading.keys.about(key)
        reading.dimensions.append(dimension_of_word(override, default=about.default, rule=about.rule, when=about.only))


def _of_group(override: Override, options: Sequence[str]) -> Iterator[Dimension]:
    """The dimension of a group, as far as its options are known."""
    key = override.key_or_group
    names = listed_values(override, options=options)
    told = Tags.read(key, override)
    if names and (key == "experiment" or all(str(name) in options for name in names)):
        yield Dimension(key, (override.get_key_element(),), choices=tuple(names), when=told.when, **told.belief)


def _read_plain(word: str, override: Override, reading: _Reading) -> None:
    """A word with one value: of every run, or of those whose option has the key."""
    key = override.key_or_group
    only = () if _is_added(override) else reading.keys.only(key)
    if only:
        reading.dimensions.append(Dimension(key, (key,), choices=(override.value(),), when=only))
    else:
        reading.base.append(word)


def _is_added(override: Override) -> bool:
    return bool(override.is_add() or override.is_force_add() or override.is_delete() or override.package)


def _read_objective(word: str, override: Override, reading: _Reading) -> None:
    value = override.value()
    if override.is_sweep_override():
        fix = "write several aims as objective=[val/accuracy,params]"
        raise ConfigError("objective", rule="is what a sweep is judged by, and is not varied", fix=fix)
    aims = value if isinstance(value, list) else [value]
    problems = list(_aim_problems(aims))
    if problems:
        raise ConfigError.of(problems)
    reading.base.append(f"objective={aims[0]}" if isinstance(value, list) else word)
    reading.aims = tuple(str(aim) for aim in aims if aim is not None)


def _aim_problems(aims: Sequence[Any]) -> Iterator[Problem]:
    known = [*dict.fromkeys(name for names in OBJECTIVES.values() for name in names), *MEASURED]
    for aim in aims:
        is_metric = isinstance(aim, str) and aim.startswith(("val/", "train/"))
        if aim not in (None, *known) and not is_metric:
            fix = did_you_mean(str(aim), known) or f"there are {', '.join(known)}"
            yield Problem("objective", "is nothing that a run can be judged by", fix, aim)
    if not aims or aims[0] in MEASURED:
        fix = "put it first: objective=[val/accuracy,params]"
        yield Problem("objective", "the first aim is what each run is judged by, a metric", fix, list(aims))
    if len(set(map(str, aims))) < len(aims):
        yield Problem("objective", "names an aim twice", "name each once", list(aims))


def _inner_values(override: Override) -> list[Any]:
    if override.is_interval_sweep():
        fix = "list them, or give sweep.seeds=3" if override.key_or_group == "seed" else "list them"
        raise ConfigError(override.key_or_group, rule="is averaged over and never searched", fix=fix)
    return listed_values(override)


def _zipped(dimensions: list[Dimension], of_sweep: Iterable[Override], problems: list[Problem]) -> list[Dimension]:
    """The dimensions, those that `sweep.zip` names joined to one where the first of them stands."""
    for override in of_sweep:
        if override.key_or_group == f"{SWEEP}.zip" and isinstance(lists := override.value(), list):
            for names in lists:
                try:
                    dimensions = joined(dimensions, names)
                except ConfigError as error:
                    problems.extend(error.problems)
    return dimensions
