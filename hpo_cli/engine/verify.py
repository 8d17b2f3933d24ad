"""Proof that a run survives kills: trains it once straight and once killed and resumed, and compares every bit."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from hpo_cli.engine.checkpoints import weights_sha256
from hpo_cli.engine.verify_attempt import Action, Ended, Kill, adopting_orphans, attempt, import_learnt, learn_imports
from hpo_cli.engine.verify_compare import differences, newest_state, validated_steps
from hpo_cli.engine.verify_moments import (
    MOMENTS,
    NUDGE_MOMENTS,
    Moment,
    before_training,
    look_for_commands_at_every_step,
)
from hpo_cli.errors import RunFailedError, UserError
from hpo_cli.record.atomic import write_json
from hpo_cli.record.folder import METRICS, RESULT
from hpo_cli.record.ledger import fold, read_ledger
from hpo_cli.record.metrics import read_metrics

KILLS_IN_A_LIFE = 10
"""A run that was killed so often is left to end and compared; another one takes the rest."""

SAVES_IN_A_LIFE = 12
"""Checkpoints of a killed run where the config does not ask for more."""

_TIME = "a random time"
_DELAY_S = 0.02  # a kill by time falls within so long after its step: several steps of a small network, or a save


class Runs(Protocol):
    """The run to be verified, as it is started and resumed; both give the exit code."""

    def start(self, folder: Path, *, words: Sequence[str]) -> int:
        """Train in a new folder, with further overrides."""

    def resume(self, folder: Path) -> int:
        """Go on with the run in `folder`."""


@dataclass(frozen=True)
class Order:
    """What to verify. folder: where everything is written, which exists.

    moments: names of those to be hit, "a random time" among them; None: half of the kills at random times, the
    others at all moments in turn.   commands: steering commands that lie in the inbox when training begins.
    words: overrides of the killed runs alone.
    """

    folder: Path
    kills: int
    seed: int
    moments: Sequence[str] | None = None
    commands: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    words: Sequence[str] = ()
    saves_by_steps: bool = False


@dataclass
class Verdict:
    """What came out. differs: one line each, nothing when the runs are the same to the last bit.

    kills: how often a run was killed, by moment.   resumed_from: steps.   from_start: resumes without any checkpoint.
    """

    steps: int = 0
    rows: int = 0
    validations: int = 0
    tensors: int = 0
    sha256: str = ""
    lives: int = 0
    kills: Counter[str] = field(default_factory=Counter)
    resumed_from: list[int] = field(default_factory=list)
    from_start: int = 0
    differs: list[str] = field(default_factory=list)
    alone: list[str] = field(default_factory=list)
    """How a second straight run differs from the first one: then it is not resuming that fails."""

    @property
    def num_kills(self) -> int:
        """All of them."""
        return self.kills.total()


Say = Callable[[str], None]


def verify(runs: Runs, order: Order, *, say: Say) -> Verdict:
    """Kill, resume and compare. say: gets lines of progress. Raises RunFailedError when a run does not train at all."""
    return _Verification(runs, order, say).run()


class _Verification:
    def __init__(self, runs: Runs, order: Order, say: Say) -> None:
        self._runs, self._order, self._say = runs, order, say
        self._random = random.Random(order.seed)
        self._verdict = Verdict()
        self._straight = order.folder / "straight"

    def run(self) -> Verdict:
        """See verify."""
        with adopting_orphans():
            self._train_straight(self._straight)
            self._note_size()
            pending, barren = self._names(), 0
            while pending and not self._verdict.differs:
                before = len(pending)
                pending = [*self._live(pending[:KILLS_IN_A_LIFE]), *pending[KILLS_IN_A_LIFE:]]
                barren = barren + 1 if len(pending) == before else 0
                if barren > 1:  # these moments do not happen in this run
                    self._say(f"never met: {', '.join(dict.fromkeys(pending))}; random times instead")
                    pending = [_TIME for _ in pending]
                if barren > 4:  # noqa: PLR2004 - it ends too soon to be killed at all
                    break
            if self._verdict.differs:
                self._blame()
        return self._verdict

    def _train_straight(self, folder: Path) -> None:
        listing = folder.with_name("imports.txt")
        ended = self._attempt(folder, learn_imports(lambda: self._runs.start(folder, words=()), listing))
        if ended.exit_code:
            raise RunFailedError(f"the run fails without any kill: {_last_line(folder)}; see {_output(folder)}")
        import_learnt(listing)

    def _note_size(self) -> None:
        state, verdict = newest_state(self._straight), self._verdict
        verdict.steps = state["position"]["step"]
        verdict.sha256 = weights_sha256(state["model"].items())
        verdict.tensors = _count_tensors(state)
        verdict.rows = len(read_metrics(self._straight / METRICS))
        verdict.validations = len(validated_steps(self._straight))
        self._say(f"straight: {verdict.steps} steps, weights {verdict.sha256[:12]}")

    def _names(self) -> list[str]:
        """The moments of all kills."""
        order = self._order
        aimed = list(
            order.moments if order.moments is not None else [*MOMENTS, *(NUDGE_MOMENTS if order.commands else ())]
        )
        self._random.shuffle(aimed)
        if order.moments is None:
            aimed = [name for other in aimed for name in (_TIME, other)]
        return [aimed[index % len(aimed)] for index in range(order.kills)]

    def _live(self, names: Sequence[str]) -> list[str]:
        """One run from its start to its end, killed on the way; the moments that it did not meet."""
        verdict = self._verdict
        verdict.lives += 1
        folder = self._order.folder / f"killed-{verdict.lives}"
        kills = self._planned(names)
        while not _is_over(folder):
            kill = kills.pop(0) if kills else None
            resumed = _has_begun(folder)
            ended = self._attempt(folder, self._action(folder), kill=kill)
            self._note(ended, resumed=resumed)
            if kill is not None and ended.killed:
                self._tell(kill, ended, resumed=resumed)
                continue
            if ended.exit_code:
                verdict.differs = [f"exit code {ended.exit_code}: {_last_line(folder)}; see {_output(folder)}"]
                return []
            kills = [kill, *kills] if kill is not None else kills
        verdict.differs = list(differences(self._straight, folder))
        return [one.name for one in kills]

    def _planned(self, names: Sequence[str]) -> list[Kill]:
        """Kills in the order of the steps that they wait for, spread over the run; those of the end come last."""
        steps = sorted(self._random.randrange(self._verdict.steps) for _ in names)
        moments = {**MOMENTS, **NUDGE_MOMENTS}
        ordered = sorted(names, key=lambda name: name.endswith("the result"))
        return [
            Kill(step, moments.get(name), name, self._random.uniform(0, _DELAY_S))
            for step, name in zip(steps, ordered, strict=True)
        ]

    def _action(self, folder: Path) -> Action:
        if _has_begun(folder):
            return lambda: self._runs.resume(folder)
        every = max(1, self._verdict.steps // SAVES_IN_A_LIFE)
        words = [] if self._order.saves_by_steps else [f"checkpoint.every_steps={every}"]
        return lambda: self._runs.start(folder, words=[*words, *self._order.words])

    def _attempt(self, folder: Path, action: Action, *, kill: Kill | None = None) -> Ended:
        commands = {folder / "control" / "inbox" / f"{name}.json": text for name, text in self._order.commands.items()}

        def steered() -> int:
            if commands:
                look_for_commands_at_every_step()
            if not _has_begun(folder):
                before_training(lambda: _send(commands))
            return action()

        return attempt(steered, output=_output(folder), kill=kill)

    def _note(self, ended: Ended, *, resumed: bool) -> None:
        """Where an attempt went on from: a step, or the start where there was no checkpoint yet."""
        if resumed and ended.start > 0:
            self._verdict.resumed_from.append(ended.start)
        elif resumed and ended.start == 0:
            self._verdict.from_start += 1

    def _tell(self, kill: Kill, ended: Ended, *, resumed: bool) -> None:
        self._verdict.kills[kill.name] += 1
        at = f"at step {ended.step}" if ended.step >= 0 else "before its first step"
        after = f" after resuming from {ended.start}" if resumed and ended.start >= 0 else ""
        self._say(f"kill {self._verdict.num_kills}/{self._order.kills} {at} ({kill.name}){after}")

    def _blame(self) -> None:
        """Train straight once more, to see whether the run repeats itself at all."""
        self._say("different; training straight once more, to see whether the run repeats itself")
        again = self._order.folder / "straight-again"
        self._train_straight(again)
        self._verdict.alone = list(differences(self._straight, again))


def _send(commands: Mapping[Path, Mapping[str, object]]) -> None:
    for path, command in commands.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, command)


def _has_begun(folder: Path) -> bool:
    """Whether the run's first ledger line was written; a folder without one is no run yet."""
    try:
        return any(event["event"] == "started" for event in read_ledger(folder).events)
    except OSError:
        return False


def _is_over(folder: Path) -> bool:
    """Whether the run came to its end, and its record with it, though it may have been killed right after."""
    return (folder / RESULT).exists() and fold(read_ledger(folder).events).status == "finished"


def _output(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.out")


def _last_line(folder: Path) -> str:
    """The last thing that a run said, without the words that lead on from an error."""
    lines = _output(folder).read_text(encoding="utf-8", errors="replace").strip().splitlines()
    said = [line for line in lines if not line.startswith(("run  ", "next  "))]
    return said[-1] if said else "it said nothing"


def _count_tensors(value: object) -> int:
    if isinstance(value, Mapping):
        return sum(map(_count_tensors, value.values()))
    if isinstance(value, list | tuple):
        return sum(map(_count_tensors, value))
    return int(hasattr(value, "untyped_storage"))


def check_names(names: Sequence[str]) -> None:
    """Raise UserError for a moment that does not exist."""
    known = (_TIME, *MOMENTS, *NUDGE_MOMENTS)
    if wrong := [name for name in names if name not in known]:
        raise UserError(f"{wrong[0]}: no moment of a run; there are {', '.join(known)}")


__all__ = ["Moment", "Order", "Runs", "Verdict", "check_names", "verify"]
