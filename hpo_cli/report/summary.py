"""A sweep in a few facts: how it stands, when and where it ran, what it cost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hpo_cli.record import ledger
from hpo_cli.record.contents import count, mapping, text
from hpo_cli.record.sweep_record import read_sweep_record

if TYPE_CHECKING:
    from pathlib import Path

    from hpo_cli.sweep.fold import SweepState


@dataclass(frozen=True)
class Summary:
    """standing: as `hpo-run ls` has it.   why: it ended.   counts: trials by status.   seconds: of training.

    began, ended: UTC, ISO 8601; `ended` is empty for a sweep that did not.   hosts: machines that took part.
    """

    standing: str
    why: str
    began: str
    ended: str
    counts: Mapping[str, int]
    seconds: float
    epochs: int
    hosts: tuple[str, ...]


@dataclass(frozen=True)
class RunFacts:
    """What a run's ledger says beside its values. All are empty where the folder is gone.

    num_val: validation samples.   environment: machine and packages.   threads: that it computed with.
    """

    num_val: int | None = None
    environment: Mapping[str, Any] = field(default_factory=dict)
    threads: int | None = None


def summarize(state: SweepState) -> Summary:
    """The facts of a sweep, by its log."""
    found: Counter[str] = Counter(trial.status for trial in state.trials)
    usual = ("finished", "running", "waiting", "paused", "stopped", "failed")
    ended = mapping(state.ended)
    return Summary(
        standing=read_sweep_record(state.folder).status,
        why=text(ended.get("why")),
        began=text(state.began.get("at")),
        ended=text(ended.get("at")),
        counts={status: found[status] for status in usual if found[status]},
        seconds=sum(trial.seconds for trial in state.trials),
        epochs=state.trained_epochs,
        hosts=tuple(dict.fromkeys(_hosts(state))),
    )


def run_facts(folder: Path) -> RunFacts:
    """What the ledger of the run in `folder` says."""
    try:
        state = ledger.fold(ledger.read_ledger(folder).events)
    except OSError:
        return RunFacts()
    started = mapping(state.started)
    return RunFacts(
        num_val=count(mapping(state.data).get("val")),
        environment=mapping(started.get("environment")),
        threads=count(mapping(state.data).get("threads")),
    )


def _hosts(state: SweepState) -> Iterator[str]:
    for event in (*state.joined, *(run.started for trial in state.trials for run in trial.runs if run.started)):
        host = text(mapping(event.get("process")).get("host"))
        if host:
            yield host
