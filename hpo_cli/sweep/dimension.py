"""One thing that a sweep varies: its values, its scale, when it counts, and where a good value is thought to lie."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from hpo_cli.errors import ConfigError, shown

Scale = Literal["linear", "log"]
Kind = Literal["float", "int"]
Confidence = Literal["low", "medium", "high"]

SIGMA: Mapping[Confidence, float] = {"low": 0.4, "medium": 0.25, "high": 0.1}
"""Standard deviation round a prior, as a share of the range in its scale."""
PRIOR_SHARE = 0.5
"""How many of the draws follow the prior; the others do not know it, in case it is wrong."""
_BELOW_ONE = math.nextafter(1.0, 0.0)
_DIGITS = 6
"""Significant digits of a value that is drawn; more where a range is narrower than these can tell apart."""


@dataclass(frozen=True)
class Condition:
    """A dimension is active when the setting, or else the base config, has one of `values` under `key`."""

    key: str
    values: tuple[Any, ...]

    def holds(self, value: object) -> bool:
        """Whether `value` is one of those."""
        return any(same(value, one) for one in self.values)

    def __str__(self) -> str:
        return f"{self.key}={'|'.join(map(shown, self.values))}"


@dataclass(frozen=True)
class Dimension:
    """One thing that is varied. Raises ConfigError where it is none: no values, ends the wrong way round.

    name: unique in its space.   keys: the override keys that it sets, several when lists are zipped.
    choices: the values in order, tuples of one value a key when zipped; None for a range.
    low, high: both ends of a range, included.   step: of a range that has one.   when: all must hold.
    prior: where a good value is thought to lie.
    """

    name: str
    keys: tuple[str, ...]
    choices: tuple[Any, ...] | None = None
    low: float | None = None
    high: float | None = None
    scale: Scale = "linear"
    kind: Kind = "float"
    step: float | None = None
    when: tuple[Condition, ...] = ()
    prior: Any = None
    confidence: Confidence = "medium"

    def __post_init__(self) -> None:
        if rule := _broken_rule(self):
            raise ConfigError(self.name, rule=rule, fix=_FIX)
        if self.choices is None and self.kind == "int":
            object.__setattr__(self, "low", int(self.ends[0]))
            object.__setattr__(self, "high", int(self.ends[1]))
        if self.prior is not None and not self.contains(self.prior):
            raise ConfigError(self.name, rule=f"its prior {shown(self.prior)} is not in {self}", fix="mend the prior")

    @property
    def ends(self) -> tuple[float, float]:
        """The lowest and the highest value of a range. Raises ConfigError for a list of choices."""
        if self.low is None or self.high is None:
            raise ConfigError(self.name, rule="has a list of values and no range")
        return self.low, self.high

    @property
    def size(self) -> int | None:
        """How many values there are; None for a range without steps."""
        if self.choices is not None:
            return len(self.choices)
        stride = self.stride
        return None if stride is None else math.floor((self.ends[1] - self.ends[0]) / stride + 1e-9) + 1

    @property
    def stride(self) -> float | None:
        """The distance of neighbouring values of a range, None where they lie dense."""
        return self.step if self.step is not None else (1 if self.kind == "int" else None)

    @property
    def is_list(self) -> bool:
        """Whether somebody wrote its values down, one by one or with a step."""
        return self.choices is not None or self.step is not None

    def values(self) -> Iterator[Any]:
        """All values in their order. Raises ConfigError where they lie dense."""
        if self.size is None:
            rule = "is a range without steps, which has no list of values"
            raise ConfigError(self.name, rule=rule, fix="write range(low,high,step), or search it: sweep=random")
        return iter(self.choices) if self.choices is not None else (self._rung(i) for i in range(self.size))

    def contains(self, value: object) -> bool:
        """Whether the dimension has this value."""
        if self.choices is not None:
            return self._index(value) is not None
        if not _is_number(value):
            return False
        low, high = self.ends
        if not low <= value <= high:  # type: ignore[operator]
            return False
        return self.stride is None or same(self._rung(self._nearest(value)), value)  # type: ignore[arg-type]

    def at(self, u: float) -> Any:
        """The value at share `u` of the dimension, 0 <= u < 1: uniform u gives values that are uniform in its scale.

        Those of a dense range have six significant digits, so that a command can be read: 0.00316228.
        """
        u = min(max(u, 0.0), _BELOW_ONE)
        if self.choices is not None:
            return self.choices[int(u * len(self.choices))]
        if self.scale == "linear" and self.size is not None:
            return self._rung(int(u * self.size))
        value = self._between(u)
        return readable(value, *self.ends) if self.stride is None else self._rung(self._nearest(value))

    def where(self, value: Any) -> float:
        """The share at which `value` lies: `at(where(value))` is the value again, to the digits of `at`.

        Raises ConfigError for a value that the dimension does not have.
        """
        if not self.contains(value):
            raise ConfigError(self.name, value, rule=f"is not in {self}")
        if self.choices is not None:
            return ((self._index(value) or 0) + 0.5) / len(self.choices)
        if self.scale == "linear" and self.size is not None:
            return (self._nearest(value) + 0.5) / self.size
        low, high = self._edges()
        if low == high:
            return 0.0
        if self.scale == "log":
            return min(math.log(value / low) / math.log(high / low), _BELOW_ONE)
        return float(min((value - low) / (high - low), _BELOW_ONE))

    def draw(self, rng: random.Random) -> Any:
        """A random value; half of the draws know the prior: lists take it, ranges something round it."""
        if self.prior is None or rng.random() >= PRIOR_SHARE:
            return self.at(rng.random())
        if self.choices is not None:
            return self.prior
        centre = self.where(self.prior)
        while not 0.0 <= (u := rng.gauss(centre, SIGMA[self.confidence])) < 1.0:
            pass
        return self.at(u)

    def __str__(self) -> str:
        """As people read it: `0.001 .. 0.1 (log)`, `16, 32, 64`."""
        if self.choices is not None:
            return ", ".join(map(shown, map(_plain, self.choices)))
        low, high = self.ends
        notes: list[str] = [note for note in (self.scale, self.kind) if note not in ("linear", "float")]
        notes += [f"step {self.step:g}"] if self.step is not None else []
        return f"{low:g} .. {high:g}" + (f" ({', '.join(notes)})" if notes else "")

    def _index(self, value: object) -> int | None:
        return next((index for index, one in enumerate(self.choices or ()) if same(one, value)), None)

    def _rung(self, index: int) -> float:
        low, stride = self.ends[0], self.stride or 0
        if self.kind == "int":
            return int(low + index * stride)
        return float(f"{low + index * stride:.12g}")  # 0.3, where 0.1 + 2 * 0.1 would be 0.30000000000000004

    def _nearest(self, value: float) -> int:
        index = round((value - self.ends[0]) / (self.stride or 1))
        return min(max(index, 0), (self.size or 1) - 1)

    def _edges(self) -> tuple[float, float]:
        """The ends; those of a range with steps lie half a step further out, so that each value has its full share."""
        low, high = self.ends
        half = (self.stride or 0) / 2
        return (max(low - half, low / 2) if self.scale == "log" else low - half), high + half

    def _between(self, u: float) -> float:
        low, high = self._edges()
        value: float = low * (high / low) ** u if self.scale == "log" else low + (high - low) * u
        return float(min(max(value, self.ends[0]), self.ends[1]))


_FIX = "write lr=interval(1e-4,1e-1) or lr=1e-2,1e-3"


def readable(value: float, low: float, high: float) -> float:
    """The number of few digits that is nearest to a value of low .. high, and never outside; an end is itself.

    >>> readable(0.0031622776601683794, 1e-4, 1e-1), readable(9.999999999999999e-06, 1e-5, 1e-1)
    (0.00316228, 1e-05)
    """
    if value in (low, high) or not math.isfinite(high - low):
        return value
    narrow = math.floor(math.log10(max(abs(low), abs(high)) / (high - low)))
    found = float(f"{value:.{min(_DIGITS + max(0, narrow), 17)}g}")
    return min(max(found, low), high)


def same(one: object, other: object) -> bool:
    """Whether two config values are one: 1 is 1.0 and a tuple its list, but 1 is not true."""
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other and isinstance(one, bool) == isinstance(other, bool)


def _plain(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _broken_rule(dimension: Dimension) -> str:
    if not dimension.keys:
        return "sets no key"
    if dimension.confidence not in SIGMA:
        return f"a confidence is one of {', '.join(SIGMA)}"
    if dimension.choices is None:
        return _broken_range(dimension)
    if dimension.low is not None or dimension.high is not None or dimension.step is not None:
        return "has a list of values and a range"
    return _broken_choices(dimension.choices, len(dimension.keys))


def repeated(choices: Sequence[Any]) -> str | None:
    """A text of the first value that stands twice in a list, None where each stands once."""
    found = (one for i, one in enumerate(choices) if any(same(one, other) for other in choices[:i]))
    return next((shown(_plain(one)) for one in found), None)


def _broken_choices(choices: Sequence[Any], num_keys: int) -> str:
    if not choices:
        return "has no values"
    if num_keys > 1 and not all(isinstance(one, tuple) and len(one) == num_keys for one in choices):
        return f"needs {num_keys} values at a time, one a key"
    return ""


def _broken_range(dimension: Dimension) -> str:
    low, high, step = dimension.low, dimension.high, dimension.step
    if low is None or high is None or not (_is_number(low) and _is_number(high)):
        return "needs a list of values, or two finite ends"
    whole = f"takes whole numbers, and {low:g} .. {high:g} has other ends" + (f" or step {step:g}" if step else "")
    rules = {
        f"its low end {low:g} is above its high end {high:g}": low <= high,
        "a scale is linear or log": dimension.scale in ("linear", "log"),
        f"a log scale begins above 0, not at {low:g}": dimension.scale == "linear" or low > 0,
        f"a step is above 0, not {step}": step is None or step > 0,
        whole: dimension.kind == "float" or all(float(number).is_integer() for number in (low, high, step or 1)),
    }
    return next((rule for rule, holds in rules.items() if not holds), "")
