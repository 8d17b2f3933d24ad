"""All that a sweep shows, worked out once, for the terminal and the page alike."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from hpo_cli.report import commands
from hpo_cli.report.curves import with_running
from hpo_cli.report.importance import Importances, importances
from hpo_cli.report.leaderboard import Row, leaderboard
from hpo_cli.report.refusals import Refusal, refusals
from hpo_cli.report.summary import RunFacts, Summary, run_facts, summarize
from hpo_cli.report.verdict import Verdict, distinguishable
from hpo_cli.sweep.members import Histories, read_histories, with_knobs
from hpo_cli.sweep.standings import counted_words, standing_word

if TYPE_CHECKING:
    from hpo_cli.sweep.fold import SweepState

_MORE_SEEDS = 2
_FEWEST_SEEDS = 5


@dataclass(frozen=True)
class Digest:
    """state: as it is shown: with what running trials have told, and the knobs that trials have now.

    rows: of all trials, ranked ones first.   verdict: on the first two; None with fewer than two values.

    train, panda: what to type next, empty while nothing has a value.   seeds: commands that would tell the first two
    apart.   best: what the ledger of the best run says.
    """

    state: SweepState
    summary: Summary
    rows: tuple[Row, ...]
    importances: Importances
    verdict: Verdict | None
    best: RunFacts
    train: str
    panda: str
    seeds: tuple[str, ...]
    refused: tuple[Refusal, ...] = ()
    histories: Histories = field(default_factory=dict)

    @property
    def ranked(self) -> tuple[Row, ...]:
        """The rows that have a rank."""
        return tuple(row for row in self.rows if row.rank is not None)

    @property
    def failed(self) -> tuple[Row, ...]:
        """The trials that failed for good."""
        return tuple(row for row in self.rows if row.status == "failed")

    @property
    def counts(self) -> str:
        """How many trials stand how, in words."""
        said = counted_words(self.summary.counts, self.state, standing=self.summary.standing)
        return ", ".join(said) or "none yet"

    def word(self, status: str) -> str:
        """A trial's status in words."""
        return standing_word(status, self.state, standing=self.summary.standing)

    @property
    def aim(self) -> str:
        """The name of the first aim."""
        return self.state.aims[0].name

    def to_json(self, *, top: int | None = None) -> dict[str, Any]:
        """All of it in types that JSON knows. top: rows of the leaderboard."""
        first = self.ranked[0] if self.ranked else None
        return {
            "id": self.state.id,
            "name": self.state.name,
            "path": str(self.state.folder),
            "aims": [vars(aim) for aim in self.state.aims],
            "summary": {**vars(self.summary), "hosts": list(self.summary.hosts), "counts": dict(self.summary.counts)},
            "best": first.to_json() if first else None,
            "leaderboard": [row.to_json() for row in self.rows[:top]],
            "verdict": self.verdict.to_json() if self.verdict else None,
            "importance": self.importances.to_json(),
            "refused": [one.to_json() for one in self.refused],
            "lineage": {trial: [vars(phase) for phase in phases] for trial, phases in self.histories.items()},
            "commands": {"train": self.train, "panda": self.panda, "seeds": list(self.seeds)},
        }


def digest(state: SweepState) -> Digest:
    """What there is to show of a sweep now."""
    found = read_histories(state)
    state = with_knobs(with_running(state), found)
    rows = leaderboard(state)
    ranked = [row for row in rows if row.rank is not None]
    best = run_facts(state.folder / ranked[0].run) if ranked else RunFacts()
    verdict = _verdict(state, ranked, best)
    return Digest(
        state=state,
        summary=summarize(state),
        rows=tuple(rows),
        importances=importances(state),
        verdict=verdict,
        best=best,
        train=commands.train(state, state.trial(ranked[0].trial), threads=best.threads) if ranked else "",
        panda=commands.raise_as_panda(state, state.trial(ranked[0].trial)) if ranked else "",
        seeds=_seeds(state, ranked[:2]) if verdict is not None and not verdict.is_clear else (),
        refused=refusals(state),
        histories=found,
    )


def _verdict(state: SweepState, ranked: list[Row], best: RunFacts) -> Verdict | None:
    if len(ranked) < 2:  # noqa: PLR2004 - a first and a second
        return None
    found = distinguishable(*ranked[:2], aim=state.aims[0].name, num_val=best.num_val, num_trials=len(ranked))
    why = commands.why_no_seeds(state, [state.trial(row.trial) for row in ranked[:2]])
    return replace(found, cautions=(*found.cautions, why)) if why and not found.is_clear else found


def _seeds(state: SweepState, rows: list[Row]) -> tuple[str, ...]:
    seeds = max(_FEWEST_SEEDS, _MORE_SEEDS * len(state.inner))
    return tuple(commands.with_seeds(state, [state.trial(row.trial) for row in rows], seeds=seeds))
