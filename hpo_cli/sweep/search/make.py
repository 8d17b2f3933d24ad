"""From `sweep.search` to the search."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import Any, cast

from hpo_cli.errors import ConfigError, did_you_mean
from hpo_cli.sweep.search.contract import Aim, Search
from hpo_cli.sweep.search.proposer import Brief
from hpo_cli.sweep.settings import SweepSettings
from hpo_cli.sweep.space import Space

SEARCHES: Mapping[str, str] = {
    "grid": "grid:Grid",
    "random": "random_search:RandomSearch",
    "qmc": "qmc:QuasiRandom",
    "tpe": "tpe:Tpe",
    "gp": "gp:Gp",
    "cmaes": "cmaes_search:CmaEs",
    "sensitivity": "sensitivity:Sensitivity",
    "zoom": "zoom:Zoom",
}
"""Name -> module:class; only the chosen one is imported."""
NEEDS: Mapping[str, tuple[str, ...]] = {"tpe": ("optuna",), "gp": ("scipy",), "cmaes": ("cmaes",)}
"""Name -> packages that it imports, when it has enough trials to learn from."""
SINGLE_AIM = ("gp", "cmaes")


def make_search(
    settings: SweepSettings, space: Space, aims: Sequence[Aim], *, base: Mapping[str, Any] | None = None
) -> Search:
    """The search that `sweep.search` names, in this space.

    base: key -> value of the config that settings change; None: the space's own. Raises ConfigError for an unknown
    name, for several aims where a search knows one, for a grid of a range without steps, for a missing package.
    """
    name = settings.search or "random"
    if name not in SEARCHES:
        raise ConfigError("sweep.search", name, rule="is no search", fix=did_you_mean(name, SEARCHES))
    if len(aims) > 1 and name in SINGLE_AIM:
        rule = f"knows one objective, and there are {len(aims)} ({', '.join(aim.name for aim in aims)})"
        raise ConfigError("sweep.search", name, rule=rule, fix="use sweep.search=tpe, which finds the Pareto front")
    _refuse_missing(name)
    module, kind = SEARCHES[name].split(":")
    made = getattr(import_module(f"hpo_cli.sweep.search.{module}"), kind)
    return cast("Search", made(Brief(settings, space, tuple(aims), space.base if base is None else base)))


def _refuse_missing(name: str) -> None:
    for package in NEEDS.get(name, ()):
        if find_spec(package) is None:
            rule = f"needs a package that is not installed ({package})"
            raise ConfigError("sweep.search", name, rule=rule, fix=f"pip install {package}")
