"""How a run's ending stands in its sweep: at a rung, given up, lost to the machine, failed for good."""

from __future__ import annotations

from hpo_cli.sweep.facts import Facts
from hpo_cli.sweep.state import Event, Trial


def ended_event(trial: Trial, index: int, facts: Facts, *, status: str, reason: str, cause: str, retries: int) -> Event:
    """The event for a run that ended.

    facts: by its files.   status, reason, cause: as its executor has them.   retries: how often a machine may fail it.
    """
    standing = standing_of(trial, facts, status, cause=cause, may_retry=trial.runs[index].lost < retries)
    return {
        "event": "ended",
        "trial": trial.number,
        "run": index,
        "status": standing,
        "epoch": facts.epoch,
        "reports": [[epoch, list(values)] for epoch, values in facts.reports.items()],
        "values": None if facts.values is None else list(facts.values),
        "seconds": facts.seconds,
        "reason": "" if standing in ("finished", "paused") else reason or facts.reason,
        "cause": cause,
    }


def standing_of(trial: Trial, facts: Facts, status: str, *, cause: str, may_retry: bool) -> str:
    """One word for it. A trial that was given up is stopped, however its run came to its end."""
    if status == "finished":
        return "finished"
    if trial.stopping:
        return "stopped"
    if status == "stopped":
        is_at_rung = trial.until is not None and facts.epoch >= trial.until
        return "paused" if is_at_rung else "stopped"
    if status == "interrupted" or cause == "asked":
        return "interrupted"
    return "lost" if cause == "machine" and may_retry else "failed"


def status_left_behind(trial: Trial, facts: Facts) -> str:
    """The status of a run whose driver was killed: what its files say, as far as that is about what was ordered last.

    A stop at a rung may be the one before: the run is begun once more, and ends at once where nothing is left to do.
    """
    is_over = facts.status == "finished" or (
        facts.status == "stopped" and (trial.stopping or facts.who not in ("", "sweep"))
    )
    return facts.status if is_over else "interrupted"
