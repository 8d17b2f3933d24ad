"""Population based training: the worst members go on from the state of the best ones, with knobs a little changed."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from typing import Any

from hpo_cli.sweep.orders import Exploit, GoOn, New, Order
from hpo_cli.sweep.schedulers.costs import WORST, Mode, cost_at
from hpo_cli.sweep.schedulers.explore import Explorer, refuse_cold
from hpo_cli.sweep.schedulers.none import NoScheduler
from hpo_cli.sweep.space import Space
from hpo_cli.sweep.state import Trial


@dataclass(frozen=True)
class Pace:
    """members: of the population.   interval: epochs from stop to stop.   epochs: of a member's whole training.

    quantile: the share of members that is replaced, and of those that are copied.   seed: of the sweep.
    """

    members: int
    interval: int
    epochs: int
    quantile: float
    seed: int
    mode: Mode

    def until(self, epoch: int) -> int | None:
        """The stop after `epoch`; None for the end of the training."""
        stop = (epoch // self.interval + 1) * self.interval
        return stop if stop < self.epochs else None


@dataclass
class Member:
    """One trial. setting: with the knobs as they are now.   kin: those who can take over its state have the same.

    stop: the epoch of its last stop.   cost: what it had there, None before the first one.
    is_copy: whether it has taken over a state and not trained it yet.
    """

    number: int
    setting: Mapping[str, Any]
    kin: str
    stop: int = 0
    cost: float | None = None
    is_copy: bool = False
    waits: bool = False
    is_over: bool = False


class Pbt(NoScheduler):
    """PBT. Every member trains `interval` epochs, stops, and waits for a slot; the one furthest behind comes first.

    When its turn comes it is compared with the last stops of its kin, wherever they are now: nobody is waited for. One
    in the bottom quantile takes over the last stop of one of the top quantile that is better and not at its end, drawn
    at random, with all hot knobs of the space explored; every other one trains on. A member goes on from the epoch of
    the state that it took over. Kin have the same values of all that cannot change while a run trains (initialisation
    apart), since the state of another network or optimizer does not fit: a space with such dimensions holds several
    populations side by side. A failed or stopped member leaves the population and is not replaced.
    Source: Jaderberg et al. 2017, Population Based Training of Neural Networks, arXiv:1711.09846, Algorithm 1 with
    truncation selection and perturb or resample (section 4.1.1). Raises ConfigError for a space without a hot knob.
    """

    def __init__(self, pace: Pace, explorer: Explorer) -> None:
        refuse_cold(explorer.space)
        self.pace, self.explorer = pace, explorer
        self.members: dict[int, Member] = {}
        self._waiting: list[tuple[int, int]] = []
        """A heap of (epoch, member)."""

    def heard(self, trial: Trial) -> None:
        """A member is new, has stopped, went on, took over a state, or is over."""
        member = self.members.get(trial.number)
        if member is None:
            member = Member(trial.number, dict(trial.setting), self.explorer.kin(trial.setting))
            self.members[trial.number] = member
        if trial.adopt is not None:
            member.setting = {**member.setting, **trial.adopt["changes"]}
            member.is_copy = True
        waited, member.waits = member.waits, trial.status == "paused"
        member.is_over = trial.is_over
        if trial.status == "finished" or (member.waits and not waited):
            member.stop, member.cost = trial.epoch, cost_at(trial, trial.epoch, self.pace.mode)
            member.is_copy = False
        elif trial.is_over:
            member.cost = None
        if member.waits and not waited:
            heappush(self._waiting, (member.stop, member.number))

    def next(self, trials: Sequence[Trial], *, may_begin: bool) -> Order | None:  # noqa: ARG002 - the contract's
        """A new member until the population is whole, then the waiting one furthest behind; None while none waits."""
        if may_begin and len(self.members) < self.pace.members:
            return New(until=self.pace.until(0))
        while self._waiting:
            epoch, number = self._waiting[0]
            member = self.members[number]
            if member.waits and member.stop == epoch:
                return self._order(member)
            heappop(self._waiting)
        return None

    def narrow(self, space: Space) -> None:
        """Explore inside another space from now on. Raises ConfigError for one without a hot knob."""
        refuse_cold(space)
        old = self.explorer
        self.explorer = Explorer(space, old.base, old.factors, old.resample)

    def _order(self, member: Member) -> Order:
        ranked = self._ranked(member)
        num_replaced = min(math.ceil(len(ranked) * self.pace.quantile), len(ranked) // 2)
        place = ranked.index(member)
        sources = [one for one in ranked[:num_replaced] if self._gives(one, member)]
        if place < len(ranked) - num_replaced or not sources:
            return GoOn(member.number, until=self.pace.until(member.stop), why=f"{place + 1} of {len(ranked)}")
        rng = random.Random(f"{self.pace.seed}/{member.number}/{member.stop}")
        source = rng.choice(sources)
        return Exploit(
            member.number,
            source.number,
            self.explorer.changes(member.setting, source.setting, rng),
            until=self.pace.until(source.stop),
            otherwise=self.pace.until(member.stop),
            why=f"{place + 1} of {len(ranked)} at epoch {member.stop}; trial {source.number} is better",
        )

    def _ranked(self, member: Member) -> list[Member]:
        """The member and its kin by their last stops, best first."""
        known = [one for one in self.members.values() if one.kin == member.kin and one.cost is not None]
        return sorted(known, key=lambda one: (WORST if one.cost is None else one.cost, one.number))

    def _gives(self, source: Member, member: Member) -> bool:
        """Whether a member can be copied: it is really better, by a state of its own, and its training is not over."""
        if source.cost is None or member.cost is None or source.is_copy or source.is_over:
            return False
        return source.cost < member.cost
