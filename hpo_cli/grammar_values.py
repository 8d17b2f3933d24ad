"""What one sweep word varies: its values, its range, its tags, as a dimension."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from math import ceil, inf, nextafter
from typing import Any

from hydra.core.override_parser.types import ChoiceSweep, Glob, IntervalSweep, Override, QuotedString, RangeSweep, Sweep

from hpo_cli import rules
from hpo_cli.compose import parsed_value
from hpo_cli.errors import ConfigError, did_you_mean
from hpo_cli.sweep.dimension import Condition, Dimension

TAGS = ("log", "int", "low", "medium", "high", "prior:VALUE", "if:KEY:VALUE")


def dimension_of_word(override: Override, *, default: Any, rule: rules.Rule, when: tuple[Condition, ...]) -> Dimension:
    key, sweep = override.key_or_group, override.value()
    told = Tags.read(key, override)
    is_whole = told.is_whole or (rule.get("type") or rules.type_of(default)) == "int"
    common: dict[str, Any] = {"when": tuple(dict.fromkeys((*when, *told.when))), **told.belief}
    place = (key, (override.get_key_element(),))
    if isinstance(sweep, IntervalSweep):
        both_whole = isinstance(sweep.start, int) and isinstance(sweep.end, int)
        kind = "int" if is_whole or both_whole else "float"
        low, high = _open_ends(float(sweep.start or 0), float(sweep.end or 0), rule, is_whole=kind == "int")
        found = Dimension(*place, low=low, high=high, kind=kind, scale=told.scale, **common)  # type: ignore[arg-type]
        ends = [found.low, found.high]
    elif (
        isinstance(sweep, RangeSweep)
        and not sweep.shuffle
        and sweep.step > 0
        and len(values := listed_values(override)) > 1
    ):
        kind = "int" if isinstance(values[0], int) else "float"
        found = Dimension(
            *place, low=values[0], high=values[-1], step=sweep.step, kind=kind, scale=told.scale, **common
        )  # type: ignore[arg-type]
        ends = [found.low, found.high]
    else:
        if told.scale == "log" or told.is_whole:
            raise ConfigError(key, rule="log and int are tags of ranges, and this is a list", fix="leave them out")
        found = Dimension(*place, choices=tuple(listed_values(override)), **common)
        ends = list(found.choices or ())
    problems = [
        p
        for value in ends
        if not _is_reference(value)
        for p in rules.checked(key, value, rule=rule, default=default)[1]
    ]
    if problems:
        raise ConfigError.of(dict.fromkeys(problems))
    return found


def _is_reference(value: object) -> bool:
    return isinstance(value, str) and "${" in value


def _open_ends(low: float, high: float, rule: rules.Rule, *, is_whole: bool) -> tuple[float, float]:
    """The ends of an interval; one that the rule just forbids is the next number inside."""
    if low == rule.get("above"):
        low = low + 1 if is_whole else nextafter(low, inf)
    if high == rule.get("below"):
        high = high - 1 if is_whole else nextafter(high, -inf)
    return low, high


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
        for tag in sorted(sweep.tags) if isinstance(sweep, Sweep) else ():
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


def _condition(key: str, text: str) -> Condition:
    mark = min((mark for mark in ":=" if mark in text), key=text.index, default="")
    if not mark:
        raise ConfigError(key, text, rule="a condition names a key and a value", fix="write if:optimizer:sgd")
    asked, _, values = text.partition(mark)
    return Condition(asked.strip(), tuple(parsed_value(key, value.strip()) for value in values.split("|")))


def listed_values(override: Override, *, options: Sequence[str] = ()) -> list[Any]:
    """The values that a sweep lists, in its order. Raises ConfigError where it lists none."""
    sweep = override.value()
    if isinstance(sweep, Glob):
        return list(sweep.filter(list(options)))
    if isinstance(sweep, ChoiceSweep):
        return _ordered([_plain(value) for value in sweep.list], override)
    if not isinstance(sweep, RangeSweep):
        rule = "is a range, and only names can be listed here"
        raise ConfigError(override.key_or_group, rule=rule, fix="write the values with commas between them")
    values = _steps(sweep)
    if not values:
        raise ConfigError(override.key_or_group, rule="this range has no values", fix="write range(start,stop,step)")
    return _ordered(values, override)


def _steps(sweep: RangeSweep) -> list[Any]:
    """What `range()` lists: as Hydra does, but 0.3 where it may say 0.30000000000000004."""
    start, stop, step = (Decimal(str(number)) for number in (sweep.start, sweep.stop, sweep.step))
    count = max(0, ceil((stop - start) / step)) if step else 0
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
    if not isinstance(names, list) or len(names) < 2:  # noqa: PLR2004
        raise ConfigError(
            "sweep.zip", names, rule="is a list of lists of keys", fix="write sweep.zip=[[lr,batch_size]]"
        )
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
    joined = Dimension(
        "+".join(names),
        tuple(key for one in parts for key in one.keys),
        choices=tuple(zip(*(one.values() for one in parts), strict=True)),
        when=tuple(dict.fromkeys(condition for one in parts for condition in one.when)),
    )
    place = min(dimensions.index(one) for one in parts)
    rest = [one for one in dimensions if one not in parts]
    return [*rest[:place], joined, *rest[place:]]
