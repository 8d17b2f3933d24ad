"""How population based training changes what it copied: hot knobs of a space, kept inside it."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hpo_cli.errors import ConfigError
from hpo_cli.steer.hot import canonical, is_hot
from hpo_cli.sweep.dimension import readable
from hpo_cli.sweep.space import Dimension, Point, Setting, Space, same

LENGTHS = ("epochs", "trainer.max_steps")
"""Hot, but how long a member trains is the population's."""
FORGOTTEN = ("init", "seed")
"""Groups and keys that no longer matter to a member that takes over another one's state."""


@dataclass(frozen=True)
class Explorer:
    """Draws the knobs of a member that has copied another one.

    factors: a number is multiplied by one of these.   resample: how likely a value is drawn anew instead.
    """

    space: Space
    base: Mapping[str, Any]
    factors: Sequence[float]
    resample: float

    def kin(self, setting: Setting) -> str:
        """What two members have in common that can take over each other's state: all that cannot change later."""
        point = self.space.point(setting, self.base)
        cold = [one for one in self.space.dimensions if one.name in point and not is_hot_dimension(one)]
        return repr([(one.name, point[one.name]) for one in cold if not _is_forgotten(one)])

    def changes(self, setting: Setting, source: Setting, rng: random.Random) -> dict[str, Any]:
        """Every hot knob of the member with `setting`, near its value in `source`: key -> value.

        A knob that only counts now that another one has changed is drawn.
        """
        own, copied = self.space.point(setting, self.base), self.space.point(source, self.base)
        point: dict[str, Any] = {}
        for one in self.space.dimensions:
            if one not in self.space.active(point, self.base):
                continue
            if is_hot_dimension(one):
                point[one.name] = self._explored(one, copied, rng)
            elif one.name in own:
                point[one.name] = own[one.name]
        hot = {name: value for name, value in point.items() if is_hot_dimension(self.space[name])}
        keys = {key for name in hot for key in self.space[name].keys}
        return {key: value for key, value in self.space.setting(point, self.base).items() if key in keys}

    def _explored(self, dimension: Dimension, copied: Point, rng: random.Random) -> Any:
        if dimension.name not in copied or rng.random() < self.resample:
            return dimension.draw(rng)
        value = copied[dimension.name]
        if dimension.choices is not None:
            return _neighbour(dimension, value, rng)
        moved = value * rng.choice(self.factors)
        return dimension.draw(rng) if moved == value == 0 else _inside(dimension, value, moved)


def is_hot_dimension(dimension: Dimension) -> bool:
    """Whether all of its keys can change while a run trains."""
    return all(is_hot(key) and canonical(key) not in LENGTHS for key in dimension.keys)


def refuse_cold(space: Space) -> None:
    """Raises ConfigError for a space in which nothing can change while a run trains."""
    if any(map(is_hot_dimension, space.dimensions)):
        return
    names = ", ".join(one.name for one in space.dimensions) or "nothing"
    raise ConfigError(
        "sweep.scheduler",
        "pbt",
        rule=f"changes knobs while a run trains, and none can change of what is searched here ({names})",
        fix="search a hot one, as lr=tag(log,interval(1e-4,1e-1))",
    )


def _is_forgotten(dimension: Dimension) -> bool:
    return all(key.partition(".")[0] in FORGOTTEN for key in dimension.keys)


def _neighbour(dimension: Dimension, value: Any, rng: random.Random) -> Any:
    """The choice before or after `value`; any where that is none of them."""
    choices = dimension.choices or ()
    place = next((index for index, one in enumerate(choices) if same(one, value)), None)
    if place is None:
        return dimension.draw(rng)
    near = [choices[index] for index in (place - 1, place + 1) if 0 <= index < len(choices)]
    return rng.choice(near) if near else value


def _inside(dimension: Dimension, value: float, moved: float) -> float:
    """`moved` within the ends of a range; on the steps of one that has them, at least one step from `value`."""
    low, high = dimension.ends
    if dimension.stride is None or dimension.size is None:
        return readable(min(max(moved, low), high), low, high)
    before, after = (round((one - low) / dimension.stride) for one in (value, moved))
    if after == before and moved != value:
        after += 1 if moved > value else -1
    index = min(max(after, 0), dimension.size - 1)
    found = low + index * dimension.stride
    return int(found) if dimension.kind == "int" else float(f"{found:.12g}")
