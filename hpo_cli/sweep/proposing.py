"""A new trial: what the search proposes, made a plan; what is refused, banned or known already is passed over."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from hpo_cli.errors import ConfigError
from hpo_cli.plan import RunPlan
from hpo_cli.sweep.search.contract import Search
from hpo_cli.sweep.search.memory import over
from hpo_cli.sweep.space import Setting
from hpo_cli.sweep.state import Trial

MOST_ATTEMPTS = 100
"""Proposals for one trial that are refused or known already, before the search counts as exhausted."""


class Made(Protocol):
    """A setting made a plan."""

    @property
    def plan(self) -> RunPlan:
        """What is trained."""

    @property
    def words(self) -> tuple[str, ...]:
        """The overrides that compose it."""

    @property
    def hydra_files(self) -> Mapping[str, str]:
        """Name -> text for the run's `.hydra/`, as Hydra would write it for these words."""


@dataclass
class Proposal:
    """setting, made: of the new trial, None when there is no further one.   refused: (setting, reason) on the way."""

    setting: Setting | None = None
    made: Made | None = None
    refused: list[tuple[Setting, str]] = field(default_factory=list)


def next_proposal(
    search: Search,
    trials: Sequence[Trial],
    make: Callable[[Mapping[str, Any]], Made],
    *,
    inner: Sequence[Mapping[str, Any]],
    known: Callable[[str], bool],
    limit: float | None = None,
) -> Proposal:
    """What the search proposes next and a run's plan takes.

    inner: what each run of a trial has besides its setting; every one of them is made.   known: whether a plan id was
    run already.   limit: the batch size that ran out of memory.
    """
    found = Proposal()
    for attempt in range(max(MOST_ATTEMPTS, search.size or 0)):
        setting = search.propose(trials, len(trials) + 1, attempt=attempt, limit=limit)
        if setting is None:
            break
        reason = over(limit, setting)
        if reason is None:
            try:
                made = [make({**setting, **one}) for one in inner]
            except ConfigError as error:
                reason = str(error)
        if reason is not None:
            found.refused.append((setting, reason))
        elif not known(made[0].plan.plan_id):
            found.setting, found.made = setting, made[0]
            break
    return found
