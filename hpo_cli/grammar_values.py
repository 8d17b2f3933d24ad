"""What one sweep word varies: its values, its range, its tags, as a dimension."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from math import ceil
from typing import Any

from hydra.core.override_parser.types import ChoiceSweep, Glob, IntervalSweep, Override, QuotedString, RangeSweep, Sweep

from hpo_cli import rules
from hpo_cli.compose import parsed_value
from hpo_cli.errors import ConfigError, did_you_mean
from hpo_cli.sweep.dimension import SIGMA, Condition, Dimension

MOST_VALUES = 1_000_000
"""More values than that are not listed."""
TAGS = ("log", "int", "low", "medium", "high", "prior:VALUE", "if:KEY:VALUE")
_NO_RULE: rules.Rule = {}
_LITTLE = 1e-6


def dimension_of_word(
    override: Override, *, default: Any = None, rule: rules.Rule = _NO_RULE, when: tuple[Condition, ...] = ()
) -> Dimension:
    """What a sweep word varies, its values within `rule`. default: of the key, which tells its type.

    Raises ConfigError for values outside the rule, tags that say nothing, and ends the wrong way round.
    """
    key = override.key_or_group
    told = Tags.read(key, override)
    is_whole = told.is_whole or (rule.get("type") or rules.type_of(default)) == "int"
    found = Dimension(
        key,
        (override.get_key_element(),),
        when=once((*when, *told.when)),
        **told.belief,
        **_values(override, told, rule, is_whole=is_whole),
    )
    ends = found.choices if found.choices is not None else found.ends
    checked = [rules.checked(key, value, rule=rule, default=default)[1] for value in ends if not _is_reference(value)]
    if problems := [problem for found_here in checked for problem in found_here]:
        raise ConfigError.of(problems)
    return found


def _values(override: Override, told: Tags, rule: rules.Rule, *, is_whole: bool) -> dict[str, Any]:
    """Choices, or the ends of a range, as a Dimension takes them."""
    sweep = override.value()
    if isinstance(sweep, IntervalSweep):
        start, end = sweep.start or 0, sweep.end or 0
        is_whole = is_whole or (isinstance(start, int) and isinstance(end, int))
        low, high = float(start), float(end)
        if told.scale == "linear":  # what lies next to 0 is no end of a log scale
            low, high = _open_ends(low, high, rule, is_whole=is_whole)
        return {"low": low, "high": high, "scale": told.scale, "kind": "int" if is_whole else "float"}
    values = listed_values(override)
    if isinstance(sweep, RangeSweep) and not sweep.shuffle and sweep.step > 0 and len(values) > 1:
        kind = "int" if isinstance(values[0], int) else "float"
        return {"low": values[0], "high": values[-1], "step": sweep.step, "scale": told.scale, "kind": kind}
    if told.scale == "log" or told.is_whole:
        rule_words = "log and int are tags of ranges, and this is a list"
        raise ConfigError(override.key_or_group, rule=rule_words, fix="leave them out")
    return {"choices": tuple(values)}


def once(conditions: Iterable[Condition]) -> tuple[Condition, ...]:
    """Each condition once, in their order."""
    found: list[Condition] = []
    found.extend(one for one in conditions if one not in found)
    return tuple(found)


def _is_reference(value: object) -> bool:
    return isinstance(value, str) and "${" in value


def _open_ends(low: float, high: float, rule: rules.Rule, *, is_whole: bool) -> tuple[float, float]:
    """The ends of an interval; one that the rule just forbids moves a little inside: 0 .. 1 may be 0 .. 0.999999."""
    little = 1 if is_whole else _LITTLE * (high - low)
    above, below = low == rule.get("above"), high == rule.get("below")
    return low + little * above, high - little * below


@dataclass(frozen=True)
class Tags:
    """What the tags of a sweep say about it."""

    scale: str = "linear"
    is_whole: bool = False
    belief: Mapping[str, Any] = field(default_factory=dict)
    when: tuple[Condition, ...] = ()

    @classmethod
    def read(cls, key: str, override: Override) -> Tags:
        """The tags of an override. Raises ConfigError for one that says nothing here."""
        sweep = override.value()
        told = cls()
        tags = sorted(sweep.tags) if isinstance(sweep, Sweep) else []
        _refuse_twice(key, tags)
        for tag in tags:
            word, _, rest = (part.strip() for part in tag.partition(":"))
            if tag == "log":
                told = replace(told, scale="log")
            elif tag == "int":
                told = replace(told, is_whole=True)
            elif tag in ("low", "medium", "high"):
                told = replace(told, belief={**told.belief, "confidence": tag})
            elif word == "prior" and rest:
                told = replace(told, belief={**told.belief, "prior": parsed_value(key, rest)})
            elif word == "if" and rest.strip(":="):
                told = replace(told, when=(*told.when, _condition(key, rest)))
            else:
                near = did_you_mean(tag, TAGS) or f"tags are {', '.join(TAGS)}"
                raise ConfigError(key, tag, rule="is no tag", fix=near)
        if "confidence" in told.belief and "prior" not in told.belief:
            raise ConfigError(key, rule="has a confidence and no prior", fix="add a tag prior:VALUE")
        return told


def _refuse_twice(key: str, tags: Sequence[str]) -> None:
    beliefs = [tag for tag in tags if tag in SIGMA]
    priors = [tag for tag in tags if tag.startswith("prior:")]
    for found, what in ((priors, "prior"), (beliefs, "confidence")):
        if len(found) > 1:
            raise ConfigError(key, rule=f"has more than one {what} ({', '.join(found)})", fix="give one of them")


def _condition(key: str, text: str) -> Condition:
    mark = min((mark for mark in ":=" if mark in text), key=text.index, default="")
    if not mark:
        raise ConfigError(key, text, rule="a condition names a key and a value", fix="write if:optimizer:sgd")
    asked, _, values = text.partition(mark)
    return Condition(asked.strip(), tuple(parsed_value(key, value.strip()) for value in values.split("|")))


def listed_values(override: Override, *, options: Sequence[str] = ()) -> list[Any]:
    """The values that a sweep lists, in its order. Raises ConfigError where it lists none."""
    sweep: Any = override.value()
    if isinstance(sweep, Glob):
        return list(sweep.filter(sorted(options)))
    if isinstance(sweep, ChoiceSweep):
        return _ordered([_plain(value) for value in sweep.list], override)
    if not isinstance(sweep, RangeSweep):
        rule = "is a range, and only names can be listed here"
        raise ConfigError(override.key_or_group, rule=rule, fix="write the values with commas between them")
    values = _steps(override.key_or_group, sweep)
    if not values:
        raise ConfigError(override.key_or_group, rule="this range has no values", fix="write range(start,stop,step)")
    return _ordered(values, override)


def _steps(key: str, sweep: RangeSweep) -> list[Any]:
    """What `range()` lists: as Hydra does, but 0.3 where it may say 0.30000000000000004."""
    start, stop, step = (Decimal(str(number)) for number in (sweep.start, sweep.stop, sweep.step))
    count = max(0, ceil((stop - start) / step)) if step else 0
    if count > MOST_VALUES:
        rule = f"lists {count:,} values, and {MOST_VALUES:,} is the most"
        raise ConfigError(key, rule=rule, fix=f"search it: {key}=interval({sweep.start},{sweep.stop})")
    is_whole = all(isinstance(number, int) for number in (sweep.start, sweep.stop, sweep.step))
    values = [start + index * step for index in range(count)]
    return [int(value) if is_whole else float(value) for value in values]


def _ordered(values: list[Any], override: Override) -> list[Any]:
    """The values, in an order of their own that is always the same when they are to be shuffled."""
    if getattr(override.value(), "shuffle", False):
        random.Random(f"{override.key_or_group} {values}").shuffle(values)
    return values


def _plain(value: Any) -> Any:
    if isinstance(value, QuotedString):
        return value.text
    if isinstance(value, list):
        return [_plain(one) for one in value]
    if isinstance(value, dict):
        return {_plain(key): _plain(one) for key, one in value.items()}
    return value


def joined(dimensions: list[Dimension], names: Any) -> list[Dimension]:
    """The dimensions with those of `names` as one, whose values go together, where the first of them stood.

    Raises ConfigError for names that are not varied, ranges, and lists of different lengths.
    """
    if not isinstance(names, list) or len(names) < 2:  # noqa: PLR2004
        raise ConfigError(
            "sweep.zip", names, rule="is a list of lists of keys", fix="write sweep.zip=[[lr,batch_size]]"
        )
    if twice := [name for place, name in enumerate(names) if name in names[:place]]:
        raise ConfigError("sweep.zip", names, rule=f"names {twice[0]} twice", fix="name each key once")
    by_name = {one.name: one for one in dimensions}
    for name in names:
        if name not in by_name:
            near = did_you_mean(str(name), by_name) or f"give {name} a list of values"
            raise ConfigError("sweep.zip", name, rule="is not varied by these words", fix=near)
        if by_name[name].size is None:
            raise ConfigError("sweep.zip", name, rule="is a range, and lists go together", fix="list its values")
    parts = [by_name[name] for name in names]
    lengths = [one.size for one in parts]
    if len(set(lengths)) > 1:
        told = ", ".join(f"{one.name} has {one.size}" for one in parts)
        raise ConfigError(
            "sweep.zip", names, rule=f"lists that go together have one length ({told})", fix="make them equal"
        )
    whole = Dimension(
        "+".join(names),
        tuple(key for one in parts for key in one.keys),
        choices=tuple(zip(*(one.values() for one in parts), strict=True)),
        when=once(condition for one in parts for condition in one.when),
    )
    place = min(dimensions.index(one) for one in parts)
    rest = [one for one in dimensions if one not in parts]
    return [*rest[:place], whole, *rest[place:]]
