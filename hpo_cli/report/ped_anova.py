"""Importance by PED-ANOVA: how far the best trials differ from all, less what chance would give."""

from __future__ import annotations

import random
import statistics
import sys
import warnings
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial

    from hpo_cli.sweep.space import Dimension

Table = Mapping[int, Mapping[str, Any]]
"""Trial -> dimension's name -> value, of the dimensions that were active in it."""
_TOP_SHARE, _FEWEST_TOP, _MOST_TOP_SHARE = 0.1, 5, 0.5
_SHUFFLES = 8
_LEAST_NOISY = 1000  # trials, from which on chance gives next to nothing


def by_ped_anova(table: Table, costs: Mapping[int, float], space: Sequence[Dimension]) -> dict[str, float]:
    """Dimension -> its importance, less what chance gives: the mean of the same figures over shuffled costs.

    costs: trial -> value, less is better.   Source: Watanabe, Bansal and Hutter 2023, as Optuna 5 does it.
    """
    if len(set(costs.values())) == 1:
        return {one.name: 0.0 for one in space}
    import optuna

    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        frozen = _frozen(table, costs, space)
        found = _measured(frozen, list(costs.values()))
        rng, times = random.Random(0), _SHUFFLES if len(costs) <= _LEAST_NOISY else 0
        others = [rng.sample(list(costs.values()), len(costs)) for _ in range(times)]
        shuffled = [_measured(frozen, one) for one in others]
    finally:
        optuna.logging.set_verbosity(before)
    chance = {name: statistics.fmean(one[name] for one in shuffled) if shuffled else 0.0 for name in found}
    return {name: max(0.0, value - chance[name]) for name, value in found.items()}


def _measured(frozen: Sequence[FrozenTrial], costs: Sequence[float]) -> dict[str, float]:
    import optuna

    for trial, cost in zip(frozen, costs, strict=True):
        trial.value = cost
    study = optuna.create_study(direction="minimize")
    study.add_trials(frozen)
    top = max(_TOP_SHARE, min(_MOST_TOP_SHARE, _FEWEST_TOP / len(costs)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that many equal values make all importances equal
        found = _ped_anova()(target_quantile=top).evaluate(study)
    return {name: float(value) for name, value in found.items()}


def _ped_anova() -> Any:
    """Optuna's evaluator without its neighbours in the package, which import scikit-learn and pandas: 1.5 s."""
    import optuna

    name = "optuna.importance"
    if name in sys.modules:
        from optuna.importance import PedAnovaImportanceEvaluator

        return PedAnovaImportanceEvaluator
    package = sys.modules[name] = ModuleType(name)
    package.__path__ = [str(Path(optuna.__file__).parent / "importance")]
    try:
        return import_module(f"{name}._ped_anova").PedAnovaImportanceEvaluator
    finally:
        del sys.modules[name]  # whoever imports it by name gets the whole


def _frozen(table: Table, costs: Mapping[int, float], space: Sequence[Dimension]) -> list[FrozenTrial]:
    """The trials as Optuna knows them, in the order of `costs`."""
    from optuna.trial import create_trial

    kinds = {one.name: _distribution(one, [p[one.name] for p in table.values() if one.name in p]) for one in space}
    found = []
    for number, cost in costs.items():
        known = {one.name: _coded(one, table[number][one.name]) for one in space if one.name in table[number]}
        params = {name: value for name, value in known.items() if value is not None}
        distributions = {name: kinds[name] for name in params}
        found.append(create_trial(params=params, distributions=distributions, values=[cost]))
    return found


def _distribution(one: Dimension, values: Sequence[Any]) -> BaseDistribution:
    """The dimension as Optuna knows it, wide enough for values from before it was narrowed."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution

    if one.choices is not None:
        return CategoricalDistribution(tuple(range(len(one.choices))))
    low, high = min([*one.ends[:1], *values]), max([*one.ends[1:], *values])
    return FloatDistribution(low, high, log=one.scale == "log" and low > 0)


def _coded(one: Dimension, value: Any) -> Any:
    """A choice as its place among the choices, None for one that is banned by now: names, numbers, tuples alike."""
    if one.choices is None:
        return float(value)
    return next((k for k, choice in enumerate(one.choices) if _same(choice, value)), None)


def _same(one: Any, other: Any) -> bool:
    return bool((list(one) if isinstance(one, tuple) else one) == (list(other) if isinstance(other, tuple) else other))
