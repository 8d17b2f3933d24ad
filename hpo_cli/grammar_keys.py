"""Which keys the words of a sweep may vary, when several options of a group are listed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from hpo_cli import rules
from hpo_cli.diagnose import listed_options
from hpo_cli.errors import ConfigError, Problem, did_you_mean
from hpo_cli.options import Option, list_groups, list_options, main_config
from hpo_cli.sweep.dimension import Condition
from hpo_cli.validate import RESERVED_AT_TOP, Known, known_for, unknown_key


@dataclass(frozen=True)
class About:
    """What the option files say about a key. only: the listed options that have it, where others have not."""

    default: Any = None
    rule: rules.Rule = field(default_factory=dict)
    only: tuple[Condition, ...] = ()


@dataclass
class Keys:
    """The keys of the options that a sweep may choose.

    listed: group -> the options that the words list for it.   varied: groups of which they list several.
    """

    config_dir: Path | None
    listed: dict[str, tuple[str, ...]] = field(default_factory=dict)
    varied: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.groups = list_groups(config_dir=self.config_dir)

    def options(self, group: str) -> dict[str, Option]:
        """The options of a group by name."""
        return list_options(group, config_dir=self.config_dir)

    def about(self, key: str) -> About:
        """What is known of a key. Raises ConfigError, with the nearest key there is, for one that no option has."""
        group, _, rest = key.partition(".")
        names = self._candidates(group) if group in self.groups and rest else ()
        if not names:
            known = self._known()
            self._check(key, known)
            return self._said(key, known)
        having = tuple(name for name in names if self._has(group, name, rest))
        if not having:
            raise ConfigError.of([self._unknown(group, rest, names)])
        is_partial = group in self.varied and len(having) < len(names)
        only = (Condition(group, having),) if is_partial else ()
        return replace(self._said(key, self._known(group, having[0])), only=only)

    def only(self, key: str) -> tuple[Condition, ...]:
        """When a key exists: with the listed options that have it, where others have not. Empty: always.

        Raises ConfigError where several options are listed and none has it.
        """
        group, _, rest = key.partition(".")
        if group not in self.varied or not rest:
            return ()
        having = tuple(name for name in self.listed[group] if self._has(group, name, rest))
        if not having and self.listed[group]:
            raise ConfigError.of([self._unknown(group, rest, self.listed[group])])
        return (Condition(group, having),) if having and len(having) < len(self.listed[group]) else ()

    def condition_problems(self, name: str, condition: Condition) -> Iterator[Problem]:
        """What is wrong with what a condition asks for: a key that there is not, an option that there is not."""
        if condition.key in self.groups:
            options = self.options(condition.key)
            for value in condition.values:
                if str(value) not in options:
                    rule = f"its condition names {condition.key}={value}, which is none of {', '.join(options)}"
                    yield Problem(name, rule, did_you_mean(str(value), options))
            return
        try:
            self.about(condition.key)
        except ConfigError as error:
            yield from (replace(problem, key=f"{name}: the condition {problem.key}") for problem in error.problems)

    def _unknown(self, group: str, rest: str, names: Sequence[str]) -> Problem:
        """A key that none of these options has, and which one has it, or one like it."""
        key = rest.partition(".")[0]
        owners = [name for name in self.options(group) if self._has(group, name, key)]
        if owners:
            fix = f"{', '.join(owners)} {'has' if len(owners) == 1 else 'have'} it"
            return Problem(f"{group}.{rest}", f"not an option of {', '.join(names)}", fix)
        if len(names) == 1:
            return unknown_key(group, rest, self._known(group, names[0]))
        known = dict.fromkeys(one for name in names for one in self._known(group, name).keys(group))
        near = did_you_mean(key, known).removeprefix("did you mean ").rstrip("?")
        having = [name for name in names if near and self._has(group, name, near)]
        fix = f"did you mean {group}.{near} (of {', '.join(having)})?" if having else f"there are {', '.join(known)}"
        return Problem(f"{group}.{rest}", f"not an option of {', '.join(names)}", fix)

    def _candidates(self, group: str) -> tuple[str, ...]:
        """The options that a group may have: those listed, else its default and what other options bring."""
        return self.listed.get(group) or listed_options(group, self.listed, config_dir=self.config_dir)

    def _known(self, group: str = "", name: str = "") -> Known:
        return known_for({group: name} if name else {}, config_dir=self.config_dir)

    def _has(self, group: str, name: str, rest: str) -> bool:
        return rest.partition(".")[0] in (*self._known(group, name).keys(group), "_target_")

    def _said(self, key: str, known: Known) -> About:
        group, _, rest = key.partition(".")
        if rest:
            return About(known.default(group, rest), known.rule(group, rest))
        return About(known.main.defaults.get(key), known.main.rules.get(key, {}))

    def _check(self, key: str, known: Known) -> None:
        head, _, rest = key.partition(".")
        main = known.main.defaults
        if head in main and head not in RESERVED_AT_TOP and isinstance(main[head], dict) == bool(rest):
            if rest and rest.split(".")[0] not in known.keys(head):
                raise ConfigError.of([unknown_key(head, rest, known)])
            return
        dotted = list(self._dotted())
        ends = [name for name in dotted if name.rpartition(".")[2] == key]
        shared = [name for name in ends if name.startswith("regularization.")] or ends
        words = [word for word in main if word not in RESERVED_AT_TOP]
        near = f"did you mean {shared[0]}?" if shared else did_you_mean(key, [*words, *self.groups, *dotted])
        raise ConfigError(key, rule="is no key of the config", fix=near or "see hpo-run --help")

    def _dotted(self) -> Iterator[str]:
        sections = (key for key, value in main_config().defaults.items() if isinstance(value, dict))
        for group in dict.fromkeys((*self.groups, *sections)):
            for name in (self._candidates(group) if group in self.groups else ()) or ("",):
                yield from (f"{group}.{key}" for key in self._known(group, name).keys(group))
