"""One dimension at a time round the base point: which of them matter, before anything is searched."""

from __future__ import annotations

from typing import Any

from hpo_cli.sweep.search.grid import ListSearch
from hpo_cli.sweep.search.past import key_of
from hpo_cli.sweep.space import Dimension, Setting, Space, same


class Sensitivity(ListSearch):
    """The base point first, then every dimension that is active there at its other values.

    A list of choices gives all of them; a range `points` values, even in its scale and with both ends. A dimension
    whose value the base config does not have begins at its prior, or in its middle. What another choice lets in, as the
    other optimizer's own learning rate, is left at that option's default.
    """

    def listed(self, space: Space) -> list[Setting]:
        """All settings, each once, the base point first."""
        centre = _centre(space)
        found: dict[str, Setting] = {}
        settings = [space.setting(centre)]
        for one in space.active(centre):
            others = (v for v in _values(one, self.brief.settings.points) if not same(v, centre[one.name]))
            settings += [space.setting({**centre, one.name: value}) for value in others]
        for setting in settings:
            found.setdefault(key_of(setting), setting)
        return list(found.values())


def _centre(space: Space) -> dict[str, Any]:
    """The base config's values of all dimensions that are active with them."""
    point: dict[str, Any] = {}
    for one in space.dimensions:
        if one in space.active(point):
            point[one.name] = _start(one, space)
    return point


def _start(one: Dimension, space: Space) -> Any:
    if all(key in space.base for key in one.keys):
        values = tuple(space.base[key] for key in one.keys)
        return values if len(values) > 1 else values[0]
    return one.at(0.5) if one.prior is None else one.prior


def _values(one: Dimension, points: int) -> list[Any]:
    if one.size is not None and (one.choices is not None or one.size <= points):
        return list(one.values())
    low, high = one.ends
    return [low, *(one.at(index / (points - 1)) for index in range(1, points - 1)), high]
