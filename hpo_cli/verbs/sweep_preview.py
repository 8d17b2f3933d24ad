"""`hpo-run -m ... --dry-run`: the trials of a sweep and what they would cost, before anything is trained."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from hpo_cli.sweep.asked import Asked

if TYPE_CHECKING:
    from hpo_cli.console.sweep_plan import Cost
    from hpo_cli.sweep.preview import Cost as Timing


def preview(asked: Asked) -> int:
    """Show them; the exit code. Raises UserError where the first setting does not train."""
    from hpo_cli.composer import Composer
    from hpo_cli.console.output import write
    from hpo_cli.console.sweep_plan import plan_lines
    from hpo_cli.sweep.executors.local import LocalExecutor, default_slots
    from hpo_cli.sweep.preview import preview_of, timed
    from hpo_cli.sweep.search.make import make_search

    plan = asked.plan.to_dict()
    slots = asked.settings.workers or default_slots(plan)
    with closing(LocalExecutor(slots, preload=plan)) as executor:
        composer = Composer(asked.base, config_dir=asked.config_dir, config_name=asked.config_name)
        search = make_search(asked.settings, asked.space, asked.aims, base=asked.space.base)
        found = preview_of(asked, search, composer.made)
        timing = timed(asked, executor)
    lines = plan_lines(
        found.settings,
        keys=asked.space.keys,
        kind="exact" if found.is_exact else "samples",
        total=found.total,
        cost=_cost(asked, timing, workers=slots, trials=found.total),
        refused=found.refused,
    )
    write(lines)
    return 0


def _cost(asked: Asked, timing: Timing, *, workers: int, trials: int | None) -> Cost:
    from hpo_cli.console.sweep_plan import Cost
    from hpo_cli.sweep.preview import epochs_of

    epochs, runs = epochs_of(asked.settings, asked.plan.epochs), len(asked.inner)
    return Cost(
        seconds_per_trial=timing.run_s * runs,
        workers=workers,
        trials=trials,
        epochs_per_trial=asked.plan.epochs,
        epochs=None if epochs is None or trials is None else trials * epochs,
        runs=runs,
        sure="at most" if epochs is None else "about",
        note=f"the first setting, timed: {_short(timing.epoch_s)} an epoch, {_short(timing.start_s)} to begin and end",
    )


def _short(seconds: float) -> str:
    return f"{1000 * seconds:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"
