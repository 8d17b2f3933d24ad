"""What is searched: dimensions with their scale and condition, and the settings that they allow."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from hpo_cli.errors import ConfigError, did_you_mean
from hpo_cli.steer.hot import canonical
from hpo_cli.sweep.dimension import Condition, Dimension, repeated, same

__all__ = ["Condition", "Dimension", "Point", "Setting", "Space", "same"]

Setting = Mapping[str, Any]
"""Override key -> value, of one trial: only what is varied, only what is active."""
Point = Mapping[str, Any]
"""Dimension's name -> value: a setting as the searches see it."""
_NOTHING: Mapping[str, Any] = {}


@dataclass(frozen=True)
class Space:
    """Dimensions in their order, a condition's own dimension before those that it lets in.

    base: key -> value of the config that settings change, which conditions read where the setting is silent; every
    method takes another one. Raises ConfigError for two dimensions of one name, or of one key at the same time.
    """

    dimensions: tuple[Dimension, ...]
    base: Mapping[str, Any] = field(default_factory=dict, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "dimensions", tuple(_in_order(self.dimensions)))
        _refuse_twice(self.dimensions)

    def __getitem__(self, name: str) -> Dimension:
        """The dimension of that name. Raises ConfigError with the nearest one there is."""
        found = next((one for one in self.dimensions if one.name == name), None)
        if found is None:
            names = [one.name for one in self.dimensions]
            near = did_you_mean(name, names) or f"there are {', '.join(names)}"
            raise ConfigError(name, rule="is not searched here", fix=near)
        return found

    @property
    def keys(self) -> tuple[str, ...]:
        """Every override key that some setting has."""
        return tuple(dict.fromkeys(key for one in self.dimensions for key in one.keys))

    @property
    def size(self) -> int | None:
        """How many settings there are with this base, None for endless ones."""
        return self.size_with(self.base)

    def size_with(self, base: Mapping[str, Any]) -> int | None:
        """How many settings there are with `base`, None for endless ones."""
        if any(one.size is None for one in self.dimensions):
            return None
        read = {condition.key for one in self.dimensions for condition in one.when}
        return self._count({}, 0, base, read)

    def grid(self, base: Mapping[str, Any] | None = None) -> Iterator[Setting]:
        """Every setting once, in Hydra's order: the last dimension varies fastest. An inactive one does not multiply.

        Raises ConfigError for a range without steps.
        """
        return self._settings({}, 0, self._base(base))

    def active(self, point: Point, base: Mapping[str, Any] | None = None) -> tuple[Dimension, ...]:
        """The dimensions that count at `point`, in their order."""
        setting: dict[str, Any] = {}
        found = []
        for one in self.dimensions:
            if _is_active(one, setting, self._base(base)):
                found.append(one)
                if one.name in point:
                    setting.update(_pairs(one, point[one.name]))
        return tuple(found)

    def setting(self, point: Point, base: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The override keys and values of a point: of its active dimensions alone."""
        return dict(
            pair for one in self.active(point, base) if one.name in point for pair in _pairs(one, point[one.name])
        )

    def point(self, setting: Setting, base: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The point of a setting: the values of the dimensions that are active in it and that it names.

        The setting may be one of another space: what this one does not know is left out.
        """
        found = {}
        for one in self.dimensions:
            if _is_active(one, setting, self._base(base)) and all(key in setting for key in one.keys):
                found[one.name] = tuple(setting[key] for key in one.keys) if len(one.keys) > 1 else setting[one.keys[0]]
        return found

    def contains(self, setting: Setting, base: Mapping[str, Any] | None = None) -> bool:
        """Whether the setting is one of this space: every active dimension has one of its values, and nothing else."""
        point = self.point(setting, base)
        active = self.active(point, base)
        keys = {key for one in active for key in one.keys}
        return keys == set(setting) and all(one.contains(point[one.name]) for one in active)

    def draw(self, rng: random.Random, base: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """A random setting: every active dimension's value uniform in its scale, or round its prior."""
        setting: dict[str, Any] = {}
        for one in self.dimensions:
            if _is_active(one, setting, self._base(base)):
                setting.update(_pairs(one, one.draw(rng)))
        return setting

    def narrowed(self, boxes: Mapping[str, Sequence[Any]]) -> Space:
        """The space within `boxes`: name -> (low, high) of a range, or the values of a list that stay.

        A prior that is left outside is given up. Raises ConfigError for an unknown name and where nothing stays.
        """
        for name in boxes:
            self[name]
        return replace(self, dimensions=tuple(_within(one, boxes.get(one.name)) for one in self.dimensions))

    def without(self, name: str, value: Any) -> Space:
        """The space without one value of a list. Raises ConfigError where it is none, or the last one."""
        one = self[name]
        if one.choices is None or not one.contains(value):
            raise ConfigError(name, value, rule=f"is no value of a list here ({one})", fix="narrow a range instead")
        return self.narrowed({name: [choice for choice in one.choices if not same(choice, value)]})

    def to_json(self) -> list[dict[str, Any]]:
        """The dimensions in types that JSON knows; `from_json` gives an equal space."""
        return [
            {key: value for key, value in asdict(one).items() if value not in (None, ())} for one in self.dimensions
        ]

    @classmethod
    def from_json(cls, rows: Sequence[Mapping[str, Any]], base: Mapping[str, Any] = _NOTHING) -> Space:
        """The space that `to_json` described, on `base`."""
        return cls(tuple(map(_dimension, rows)), base)

    def differences(self, earlier: Space) -> list[str]:
        """Lines for people: what is searched otherwise than in an earlier space. Empty when nothing is."""
        new = {one.name: one for one in self.dimensions}
        old = {one.name: one for one in earlier.dimensions}
        lines = []
        for name in [*old, *(name for name in new if name not in old)]:
            before, now = _described(old.get(name)), _described(new.get(name))
            if before != now:
                lines.append(f"{name}: was {before}, now {now}")
        return lines

    def _base(self, base: Mapping[str, Any] | None) -> Mapping[str, Any]:
        return self.base if base is None else base

    def _count(self, setting: dict[str, Any], index: int, base: Mapping[str, Any], read: set[str]) -> int:
        """The settings of the dimensions from `index` on; only values that a condition reads are tried one by one."""
        if index == len(self.dimensions):
            return 1
        one = self.dimensions[index]
        if not _is_active(one, setting, base):
            return self._count(setting, index + 1, base, read)
        if not read.intersection(one.keys):
            return (one.size or 1) * self._count(setting, index + 1, base, read)
        return sum(self._count(setting | dict(_pairs(one, v)), index + 1, base, read) for v in one.values())

    def _settings(self, setting: dict[str, Any], index: int, base: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """The settings that go on from one of the dimensions before `index`."""
        if index == len(self.dimensions):
            yield setting
            return
        one = self.dimensions[index]
        if not _is_active(one, setting, base):
            yield from self._settings(setting, index + 1, base)
            return
        for value in one.values():
            yield from self._settings({**setting, **dict(_pairs(one, value))}, index + 1, base)


def _is_active(dimension: Dimension, setting: Setting, base: Mapping[str, Any]) -> bool:
    return all(condition.holds(setting.get(condition.key, base.get(condition.key))) for condition in dimension.when)


def _pairs(dimension: Dimension, value: Any) -> Iterator[tuple[str, Any]]:
    return zip(dimension.keys, value if len(dimension.keys) > 1 else (value,), strict=True)


def _in_order(dimensions: Sequence[Dimension]) -> Iterator[Dimension]:
    """The dimensions as they stand, but none in front of one that its condition reads."""
    left = list(dimensions)
    while left:
        waiting = {id(one): {key for other in left if other is not one for key in other.keys} for one in left}
        ready = [one for one in left if not any(c.key in waiting[id(one)] or c.key in one.keys for c in one.when)]
        if not ready:
            names = ", ".join(one.name for one in left)
            raise ConfigError(
                left[0].name, rule=f"conditions go round in a circle ({names})", fix="take one of them out"
            )
        yield ready[0]
        left.remove(ready[0])


def _refuse_twice(dimensions: Sequence[Dimension]) -> None:
    for index, one in enumerate(dimensions):
        if twice := repeated(one.choices or ()):
            raise ConfigError(one.name, rule=f"has the value {twice} twice", fix="list each once")
        for other in dimensions[:index]:
            if one.name == other.name:
                raise ConfigError(one.name, rule="is searched twice", fix="name it once")
            both = {canonical(key) for key in one.keys} & {canonical(key) for key in other.keys}
            if both and not _exclude_each_other(one, other):
                rule = f"sets {', '.join(sorted(both))}, and so does {other.name}"
                raise ConfigError(one.name, rule=rule, fix="leave one of them out, or give them conditions")


def _exclude_each_other(one: Dimension, other: Dimension) -> bool:
    return any(a.key == b.key and not any(b.holds(value) for value in a.values) for a in one.when for b in other.when)


def _within(one: Dimension, box: Sequence[Any] | None) -> Dimension:
    if box is None:
        return one
    if one.choices is not None:
        changed: dict[str, Any] = {"choices": tuple(value for value in one.choices if any(same(value, b) for b in box))}
    else:
        low, high = one.ends
        rungs = [value for value in one.values() if box[0] <= value <= box[-1]] if one.size is not None else []
        inside = (rungs[0], rungs[-1]) if rungs else (max(low, box[0]), min(high, box[-1]))
        changed = {"low": inside[0], "high": inside[1]}
    if changed.get("choices") == () or ("low" in changed and changed["low"] > changed["high"]):
        raise ConfigError(one.name, list(box), rule=f"leaves nothing of {one}", fix="name a part of it")
    rest = replace(one, prior=None, **changed)
    return replace(rest, prior=one.prior) if one.prior is not None and rest.contains(one.prior) else rest


def _dimension(row: Mapping[str, Any]) -> Dimension:
    several = len(row["keys"]) > 1
    choices = row.get("choices")
    parts = {
        "keys": tuple(row["keys"]),
        "choices": None if choices is None else tuple(tuple(one) if several else one for one in choices),
        "when": tuple(Condition(one["key"], tuple(one["values"])) for one in row.get("when", ())),
        "prior": tuple(row["prior"]) if several and row.get("prior") is not None else row.get("prior"),
    }
    return Dimension(**{**row, **parts})


def _described(one: Dimension | None) -> str:
    if one is None:
        return "not searched"
    only = f", only with {' and '.join(map(str, one.when))}" if one.when else ""
    prior = f", about {one.prior} ({one.confidence})" if one.prior is not None else ""
    return f"{one}{prior}{only}"
