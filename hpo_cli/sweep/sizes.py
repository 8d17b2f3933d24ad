"""How many trials a sweep will have, as far as anything tells: its own end, or the end of what there is to try."""

from __future__ import annotations

from hpo_cli.sweep.fold import SweepState


def known_total(state: SweepState) -> int | None:
    """How many trials there will be; None while nothing says."""
    known = [number for number in (state.total, _settings(state)) if number is not None]
    return max(min(known), len(state.trials)) if known else None


def _settings(state: SweepState) -> int | None:
    """How many settings there are to try, without those that no run can have; None for endless ones."""
    size = _listed(state) if state.settings.search == "sensitivity" else state.space.size
    if size is None or (state.settings.duplicates != "skip" and state.settings.search != "sensitivity"):
        return None
    before = len(state.trials) if state.edits else 0  # some of them may be outside of what is searched now
    return max(0, size - len(state.refused)) + before


def _listed(state: SweepState) -> int | None:
    from hpo_cli.sweep.search.proposer import Brief
    from hpo_cli.sweep.search.sensitivity import Sensitivity

    found: int | None = Sensitivity(Brief(state.settings, state.space, state.aims, state.space.base)).size
    return found
