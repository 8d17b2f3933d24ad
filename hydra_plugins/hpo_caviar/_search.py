"""Which search proposes the settings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from hydra.errors import HydraException

from hpo_cli.sweep.search.contract import Aim, Search
from hpo_cli.sweep.search.make import SEARCHES
from hpo_cli.sweep.search.make import make_search as make
from hpo_cli.sweep.settings import SweepSettings
from hpo_cli.sweep.space import Space

LEARNING = ("tpe", "gp", "cmaes", "zoom")
"""Those that learn from the trials before."""


def search_name(asked: Any, space: Space) -> str:
    """The search that is meant. Raises HydraException for a name that is none."""
    if asked is not None and asked not in SEARCHES:
        raise HydraException(f"hydra.sweeper.search={asked}: must be one of {', '.join(SEARCHES)}")
    return asked or ("grid" if all(one.is_list for one in space.dimensions) else "random")


def make_search(name: str, space: Space, aims: Sequence[Aim], settings: SweepSettings) -> Search | None:
    """The search of that name; None for a grid, which the space itself lists in Hydra's order."""
    return None if name == "grid" else make(replace(settings, search=name), space, aims)  # type: ignore[arg-type]
