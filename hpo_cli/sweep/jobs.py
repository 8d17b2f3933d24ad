"""What a driver works with, and the jobs and events that it makes of a sweep's state."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hpo_cli.sweep.executors.contract import Adoption, Executor, Job
from hpo_cli.sweep.facts import Facts
from hpo_cli.sweep.fold import SweepState
from hpo_cli.sweep.orders import Exploit
from hpo_cli.sweep.proposing import Made
from hpo_cli.sweep.state import Event, Trial


@dataclass(frozen=True)
class Tools:
    """What a driver works with. Each can be replaced by one in virtual time.

    make: setting -> its plan; raises ConfigError.   facts: what the run of an ended job reached.
    prune: tells the run of a job to stop for good, and why.   seconds: a clock.   command: what makes a run again.
    link: the newest state of the run in the first folder, made a file of the second one; None where it has none.
    """

    executor: Executor
    make: Callable[[Mapping[str, Any]], Made]
    facts: Callable[[Path], Facts]
    prune: Callable[[Job, str], None]
    seconds: Callable[[], float]
    command: Callable[[Made], list[str]]
    link: Callable[[Path, Path], str | None]
    job_fields: Mapping[str, Any] = field(default_factory=dict)


def job_of(state: SweepState, tools: Tools, number: int, index: int) -> Job:
    """The job of a run that is to begin, or to go on, as its trial was ordered last."""
    trial = state.trial(number)
    made = tools.make({**trial.setting, **state.inner[index]})
    minutes = state.settings.timeout_minutes
    begin = {"command": tools.command(made), "overrides": list(made.words), "hydra_files": dict(made.hydra_files)}
    return Job(
        trial=number,
        run=index,
        folder=state.run_folder(trial, index),
        plan=made.plan.to_dict(),
        begin=begin,
        until=trial.until,
        adopt=_adoption(state, trial, index),
        attempt=trial.runs[index].attempts + 1,
        timeout_s=None if minutes is None else 60 * minutes,
        **tools.job_fields,
    )


def _adoption(state: SweepState, trial: Trial, index: int) -> Adoption | None:
    event = trial.adopt
    if event is None:
        return None
    source = state.run_folder(state.trial(event["source"]), index)
    return Adoption(event["files"][index], str(source), event["changes"], event.get("why") or "")


def started_event(job: Job, who: Mapping[str, Any]) -> Event:
    """A job that is about to begin. who: the process that begins it."""
    return {
        "event": "started",
        "trial": job.trial,
        "run": job.run,
        "folder": job.folder.name,
        "attempt": job.attempt,
        "until": job.until,
        "process": dict(who),
    }


def adopting_event(state: SweepState, tools: Tools, order: Exploit) -> Event:
    """An exploit, its states linked at once, so that nothing can remove them; without any the trial just goes on."""
    target, source = state.trial(order.trial), state.trial(order.source)
    places = [(state.run_folder(source, run.index), state.run_folder(target, run.index)) for run in target.runs]
    files = [tools.link(theirs, own) for theirs, own in places]
    if None in files:
        return {"event": "ordered", "trial": order.trial, "until": order.otherwise, "why": ""}
    return {
        "event": "adopting",
        "trial": order.trial,
        "source": order.source,
        "files": files,
        "changes": dict(order.changes),
        "until": order.until,
        "why": order.why,
    }
