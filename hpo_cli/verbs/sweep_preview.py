"""`hpo-run -m ... --dry-run`: the trials of a sweep and what they would cost, before anything is trained."""

from __future__ import annotations

from contextlib import closing
from typing import Literal

from hpo_cli.sweep.asked import Asked


def preview(asked: Asked) -> int:
    """Show them; the exit code. Raises UserError where the first setting does not train."""
    from hpo_cli.composer import Composer
    from hpo_cli.console.sweep_plan import Cost, show_plan
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
    cost = Cost(
        seconds_per_trial=timing.trial_s,
        workers=slots,
        trials=asked.settings.trials,
        epochs_per_trial=asked.plan.epochs,
        note=f"from timed steps of the first setting: {1000 * timing.step_s:.2g} ms each, {timing.steps:,} a run",
    )
    kind: Literal["exact", "samples"] = "exact" if found.is_whole else "samples"
    keys = asked.space.keys
    show_plan(found.settings, keys=keys, kind=kind, total=asked.settings.trials, cost=cost, refused=found.refused)
    return 0
