"""Bayesian optimisation with a Gaussian process: for few, expensive trials (Jones et al. 1998; Snoek et al. 2012)."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from hpo_cli.sweep.search.past import Known, Seen, best_and_newest, first_loss
from hpo_cli.sweep.search.proposer import Ask, Proposer
from hpo_cli.sweep.space import Setting

if TYPE_CHECKING:
    from hpo_cli.sweep.search.encoding import Encoding
    from hpo_cli.sweep.search.gaussian_process import GaussianProcess

_MOST = 150
"""The model sees so many trials at most; its cost grows with their third power."""
_NUM_RANDOM, _NUM_STARTS, _NUM_NEAR = 300, 4, 40
_SPREADS = (0.1, 0.03, 0.01)


class Gp(Proposer):
    """Proposes where the expected improvement over the best trial is largest.

    Random draws until `sweep.startup` trials can be compared. Conditional dimensions are columns that lie in the middle
    while they are not active, so that the model always has one fixed space. Running trials count as if they had reached
    what is expected of them; failed ones as bad as the worst. One aim.
    """

    own_attempts = 3

    def draw(self, ask: Ask) -> Setting:
        """By the model, once there is one."""
        rng = random.Random(ask.seed)
        enough = self.brief.settings.startup
        past = self.past.read(ask.trials, enough=enough)
        if len(past.known) < enough:
            return self.space.draw(rng)
        from hpo_cli.sweep.search.encoding import Encoding

        encoding = Encoding(self.space)
        model = _model(past, encoding)
        seen = best_and_newest(past.known, _MOST)
        tried = {tuple(encoding.vector(one.point)) for one in (*seen, *past.running)}
        return self.space.setting(self._best_point(model, encoding, seen, rng, tried))

    def _best_point(
        self,
        model: GaussianProcess,
        encoding: Encoding,
        seen: Sequence[Seen],
        rng: random.Random,
        tried: set[tuple[float, ...]],
    ) -> dict[str, Any]:
        """The best of random points and of points near the best trials, made better step by step."""
        # What is to be bettered is the model's own idea of the best trial: with noise the lowest value is luck.
        best = float(model.predict(encoding.matrix([one.point for one in seen]))[0].min())
        leaders = sorted(seen, key=first_loss)[:_NUM_STARTS]
        points = [self.space.point(self.space.draw(rng)) for _ in range(_NUM_RANDOM)]
        points += [encoding.neighbour(one.point, rng, spread=0.1) for one in leaders for _ in range(_NUM_NEAR)]
        for spread in _SPREADS:
            ranked = _ranked(model, encoding, points, best)[:_NUM_STARTS]
            near = [encoding.neighbour(one, rng, spread=spread) for one in ranked for _ in range(_NUM_NEAR)]
            points = [*ranked, *near]
        ranked = _ranked(model, encoding, points, best)
        return next((one for one in ranked if tuple(encoding.vector(one)) not in tried), ranked[0])


def _model(past: Known, encoding: Encoding) -> GaussianProcess:
    import numpy as np

    from hpo_cli.sweep.search.gaussian_process import fit

    seen = best_and_newest(past.known, _MOST)
    failed = list(past.failed)[-_MOST // 4 :]
    losses = np.array([first_loss(one)[0] for one in seen], dtype=np.float64)
    # One diverged trial must not flatten all the others.
    middle = float(np.median(losses))
    losses = np.minimum(losses, middle + 3.0 * (middle - losses.min()))
    losses = (losses - losses.mean()) / (losses.std() or 1.0)
    values = np.concatenate([losses, np.full(len(failed), losses.max())])
    model = fit(encoding.matrix([one.point for one in (*seen, *failed)]), values, encoding.owners)
    return model.believing(encoding.matrix([one.point for one in past.running][-_MOST // 4 :]))


def _ranked(
    model: GaussianProcess, encoding: Encoding, points: Sequence[dict[str, Any]], best: float
) -> list[dict[str, Any]]:
    from hpo_cli.sweep.search.gaussian_process import log_expected_improvement

    mean, deviation = model.predict(encoding.matrix(points))
    gains = log_expected_improvement(mean, deviation, best)
    return [points[place] for place in sorted(range(len(points)), key=lambda place: (-gains[place], place))]
