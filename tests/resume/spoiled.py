"""An engine that is not exact any more, in ways that resuming alone brings to light; for forks only."""

from __future__ import annotations

from typing import Any

from hpo_cli.engine import states, step
from hpo_cli.engine.loop import TrainingLoop


def seed_by_history() -> None:
    """Noise of a step by how many steps this process has taken, not by the place in the epoch."""
    taken = iter(range(1 << 62))
    original = step.seed_everywhere
    step.seed_everywhere = lambda value: original(next(taken))


def forget_the_average() -> None:
    """A resumed run begins its average of the weights afresh."""
    _spoil_restore(lambda system: setattr(system, "average", None))


def forget_the_moments() -> None:
    """A resumed run begins with an optimizer that remembers nothing."""
    _spoil_restore(lambda system: system.optimizer.state.clear())


def skip_the_rest_of_an_epoch() -> None:
    """A resumed run goes on with the next epoch, as stock loaders do after an epoch's last batch."""
    original = TrainingLoop.restore

    def restore(loop: TrainingLoop, state: Any) -> None:
        original(loop, state)
        loop.position.sample = 0

    TrainingLoop.restore = restore  # type: ignore[method-assign]


def differ_by_itself() -> None:
    """Every run draws other noise, killed or not."""
    import secrets

    original = step.seed_everywhere
    step.seed_everywhere = lambda value: original(secrets.randbits(60))


def never_get_past_the_start() -> None:
    """A resumed run fails."""
    original = TrainingLoop.restore

    def restore(loop: TrainingLoop, state: Any) -> None:
        original(loop, state)
        raise RuntimeError("no way on")

    TrainingLoop.restore = restore  # type: ignore[method-assign]


def _spoil_restore(change: Any) -> None:
    import hpo_cli.engine.loop as place

    original = states.restore_system

    def restore_system(system: Any, state: Any) -> None:
        original(system, state)
        change(system)

    place.restore_system = restore_system  # type: ignore[attr-defined]
