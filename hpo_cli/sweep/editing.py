"""Edits of a sweep through its folder: sent as files, taken by whoever drives it, written into its log."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hpo_cli.errors import UserError
from hpo_cli.steer.commands import acknowledge, send
from hpo_cli.steer.inbox import Inbox
from hpo_cli.steer.shapes import SWEEP_VERBS, Command
from hpo_cli.sweep.asked import check_sweep
from hpo_cli.sweep.edits import Outcome, events_of, revised
from hpo_cli.sweep.log import SWEEP, read_from

if TYPE_CHECKING:
    from hpo_cli.sweep.drive import Driver
    from hpo_cli.sweep.fold import SweepState
    from hpo_cli.sweep.log import Log
    from hpo_cli.sweep.state import Event


def send_edit(folder: Path, words: Sequence[str], *, why: str = "") -> str:
    """Put words for whoever drives the sweep into its folder; their id. Raises UserError."""
    return send(folder, "edit", {"words": list(words)}, why=why, verbs=SWEEP_VERBS)


def write_edit(state: SweepState, log: Log, words: Sequence[str], *, who: str, why: str = "", id: str = "") -> Outcome:  # noqa: A002
    """Carry words out in the log of a sweep, which is `locked`, and take them into its state.

    Raises ConfigError for words that are wrong, and for a space that the search or the scheduler cannot go on with:
    nothing is written then.
    """
    outcome = revised(words, state)
    if outcome.is_narrower:
        check_sweep(outcome.settings, outcome.space, state.aims, epochs=state.epochs)
    state.replay(log.append(*events_of(outcome, who=who, why=why, id=id)))
    return outcome


class Editing:
    """What a driver does about edits: called every second, it takes those in the folder, and follows those in the log.

    Edits that another process has taken are followed, too: each of them searches in the new space, with the new number
    of workers of its own.
    """

    def __init__(self) -> None:
        self._inbox: Inbox | None = None
        self._followed: int | None = None

    def __call__(self, driver: Driver) -> list[Event]:
        """The events written. What is wrong with an edit is answered to its sender, and changes nothing."""
        if self._followed is None:
            self._followed = len(driver.state.edits)
        if self._inbox is None:
            self._inbox = Inbox(driver.state.folder, verbs=SWEEP_VERBS)
        before = len(driver.state.edits)
        if not self._inbox.pending():
            self._follow(driver)
            return []
        with driver.log.locked():
            driver.state.replay(driver.log.news())
            answers = [_taken(driver, command) for command in self._inbox.read().commands]
            self._follow(driver)  # before the answers: who has one may rely on it
            for answer in answers:
                acknowledge(driver.state.folder, answer.id, ok=not answer.error, said=answer.said, error=answer.error)
        return driver.state.edits[before:]

    def _follow(self, driver: Driver) -> None:
        edits, self._followed = driver.state.edits[self._followed :], len(driver.state.edits)
        if not edits:
            return
        state, executor = driver.state, driver.tools.executor
        driver.search.narrow(state.space)
        driver.scheduler.narrow(state.space)
        if state.settings.workers is not None:
            executor.slots = state.settings.workers
        if any(event.get("stop") for event in edits):
            driver.is_closing = True
            for job in driver.jobs.values():
                executor.end(job, "save")


@dataclass(frozen=True)
class _Answer:
    id: str
    said: tuple[str, ...] = ()
    error: str = ""


def _taken(driver: Driver, command: Command) -> _Answer:
    """Carry one command out, once."""
    state = driver.state
    if any(event.get("id") == command.id for event in state.edits):
        return _Answer(command.id)
    try:
        if set(command.args["words"]) <= {"pause", "unpause"} and _is_written(driver, command.id):
            return _Answer(command.id)
        outcome = write_edit(state, driver.log, command.args["words"], who=command.who, why=command.why, id=command.id)
    except UserError as refused:
        return _Answer(command.id, error=str(refused))
    except Exception as error:  # noqa: BLE001 - one that stays in the folder would end every process that drives
        why = " ".join(str(error).split())
        return _Answer(command.id, error=f"cannot be carried out ({type(error).__name__}: {why})")
    return _Answer(command.id, said=tuple(told(outcome)))


def _is_written(driver: Driver, id: str) -> bool:  # noqa: A002 - as in the log
    """Whether a command is in the log: it was taken by a process that was killed before it could answer."""
    return any(event.get("id") == id for event in read_from(driver.state.folder / SWEEP, 0)[0])


def told(outcome: Outcome) -> list[str]:
    """What edits come to, in lines for who asked."""
    acts = {
        "pause": "no further trial begins; those that train go on to their end",
        "unpause": "trials begin again",
        "stop": "no further trial begins; those that train save their state and end",
    }
    space = ["trials that are there still inform the search"] if outcome.is_narrower else []
    return [*outcome.lines, *space, *(acts[act] for act in outcome.acts)]
