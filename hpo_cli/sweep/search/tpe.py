"""Tree-structured Parzen estimators: densities of good and bad trials (Bergstra et al. 2011; Falkner et al. 2018)."""

from __future__ import annotations

import random
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from hpo_cli.sweep.search.past import Known, Seen, best_and_newest, first_loss
from hpo_cli.sweep.search.proposer import Ask, Brief, Proposer
from hpo_cli.sweep.space import Setting, Space

if TYPE_CHECKING:
    from optuna.samplers import TPESampler
    from optuna.trial import FrozenTrial, Trial


class Tpe(Proposer):
    """Optuna's TPE with one aim multivariate, in groups where dimensions are conditional.

    Random draws until `sweep.startup` trials can be compared. Trials that run count as bad ones, so that slots at work
    at the same time keep apart (constant liar); so do failed ones. Trials that wait or were stopped before the others
    are compared at the largest epoch that enough of them reached: that is the model of BOHB.
    """

    own_attempts = 5

    def __init__(self, brief: Brief) -> None:
        super().__init__(brief)
        self._frozen: dict[int, tuple[Seen, FrozenTrial]] = {}

    def narrow(self, space: Space) -> None:
        """Search in another space from now on."""
        super().narrow(space)
        self._frozen = {}

    def draw(self, ask: Ask) -> Setting:
        """By the model, once there is one."""
        enough = self.brief.settings.startup
        past = self.past.read(ask.trials, enough=enough)
        if len(past.known) < enough:
            return self.space.draw(random.Random(ask.seed))
        return self._suggest(self._study(past, ask.seed))

    def _suggest(self, trial: Trial) -> Setting:
        from hpo_cli.sweep.search.distributions import distribution_of, value_of

        point: dict[str, Any] = {}
        for one in self.space.dimensions:
            if one in self.space.active(point):
                point[one.name] = value_of(one, suggest(trial, one.name, distribution_of(one)))
        return self.space.setting(point)

    def _study(self, past: Known, seed: int) -> Trial:
        import optuna

        from hpo_cli.sweep.search.optuna_view import View, numbered

        frozen = [self._freeze(seen) for seen in _shown(past)]
        view = View([numbered(trial, number) for number, trial in enumerate(frozen)], len(self.brief.aims))
        return optuna.load_study(study_name="view", storage=view, sampler=self._sampler(seed)).ask()

    def _sampler(self, seed: int) -> TPESampler:
        from optuna.exceptions import ExperimentalWarning
        from optuna.samplers import TPESampler

        is_single = len(self.brief.aims) == 1
        is_conditional = any(one.when for one in self.space.dimensions)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)  # `group`
            return TPESampler(
                n_startup_trials=0,
                seed=seed,
                multivariate=is_single,
                group=is_single and is_conditional,
                constant_liar=True,
            )

    def _freeze(self, seen: Seen) -> FrozenTrial:
        kept = self._frozen.get(seen.number)
        if kept is None or kept[0] != seen:
            kept = self._frozen[seen.number] = (seen, self._freshly_frozen(seen))
        return kept[1]

    def _freshly_frozen(self, seen: Seen) -> FrozenTrial:
        from optuna.trial import TrialState, create_trial

        from hpo_cli.sweep.search.distributions import distribution_of, suggestions_of

        params = suggestions_of(self.space, seen.point)
        distributions = {name: distribution_of(self.space[name]) for name in params}
        is_single = len(self.brief.aims) == 1
        if seen.kind == "known":
            return create_trial(values=list(seen.losses or ()), params=dict(params), distributions=distributions)
        if seen.kind == "short" and is_single:
            reports = {seen.epoch: first_loss(seen)[0]}
            return create_trial(
                state=TrialState.PRUNED, params=dict(params), distributions=distributions, intermediate_values=reports
            )
        # Optuna's sampler counts running trials among the bad ones, and does not know failed ones at all.
        return create_trial(state=TrialState.RUNNING, params=dict(params), distributions=distributions)


def suggest(trial: Trial, name: str, distribution: Any) -> Any:
    """A value of the trial from a distribution, by Optuna's public calls."""
    from optuna.distributions import CategoricalDistribution, IntDistribution

    if isinstance(distribution, CategoricalDistribution):
        return trial.suggest_categorical(name, distribution.choices)
    if isinstance(distribution, IntDistribution):
        return trial.suggest_int(name, distribution.low, distribution.high, log=distribution.log)
    return trial.suggest_float(name, distribution.low, distribution.high, log=distribution.log)


def _shown(past: Known) -> Sequence[Seen]:
    """What the sampler sees, in the order of numbers: a bounded number of each kind."""
    most_others = 250
    rest = [*past.short[-most_others:], *past.failed[-most_others:], *past.running[-most_others:]]
    return sorted([*best_and_newest(past.known), *rest], key=lambda seen: seen.number)
