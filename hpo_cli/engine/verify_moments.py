"""Moments at which a verification kills a run: places in the code where it dies by its own hand, in a fork."""

from __future__ import annotations

import importlib
import io
import mmap
import os
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Call = Callable[..., Any]
Wrap = Callable[[Call, "Trigger"], Call]


class Board:
    """Where a forked run stands, in memory that it shares with the process that watches it.

    `start` is the step it went on from and `step` the last one it began or ended, both -1 before its first step;
    `first_s` and `last_s` are the times of its first and latest step on the monotonic clock.
    """

    def __init__(self) -> None:
        self._cells = memoryview(mmap.mmap(-1, mmap.PAGESIZE)).cast("d")
        self.clear()

    def own(self) -> None:
        """From now on this process alone, and none that it starts, notes its steps."""
        self._owner = os.getpid()

    @property
    def is_own(self) -> bool:
        """Whether this is the process that owns it."""
        return os.getpid() == self._owner

    def clear(self) -> None:
        """Forget the run before."""
        self._owner = 0
        self._cells[0] = self._cells[1] = -1.0
        self._cells[2] = self._cells[3] = 0.0

    def note(self, step: int) -> None:
        """The run has done `step` optimizer steps."""
        if not self.is_own:  # a loader's worker, or another process of the run
            return
        now = time.monotonic()
        if self._cells[0] < 0:
            self._cells[0], self._cells[2] = step, now
        self._cells[1], self._cells[3] = step, now

    @property
    def start(self) -> int:
        """See the class."""
        return int(self._cells[0])

    @property
    def step(self) -> int:
        """See the class."""
        return int(self._cells[1])

    @property
    def seconds(self) -> float:
        """From the first step to the latest."""
        return self._cells[3] - self._cells[2]


@dataclass(frozen=True)
class Trigger:
    """Kills this process once the run has come to `at_step`."""

    board: Board
    at_step: int

    @property
    def due(self) -> bool:
        """Whether the run is there."""
        return self.board.is_own and self.board.step >= self.at_step

    def pull(self) -> None:
        """Die, when it is time: no handler runs, no buffer is written."""
        if self.due:
            os.kill(os.getpid(), signal.SIGKILL)


@dataclass(frozen=True)
class Moment:
    """A function `place` ("module:Class.name" or "module:name") and how it is wrapped to die in it.

    anywhere: it also happens before the first step and after the last one, so that no step has to be waited for.
    """

    place: str
    wrap: Wrap
    anywhere: bool = False


def _before(original: Call, trigger: Trigger) -> Call:
    def call(*words: Any, **named: Any) -> Any:
        trigger.pull()
        return original(*words, **named)

    return call


def _after(original: Call, trigger: Trigger) -> Call:
    def call(*words: Any, **named: Any) -> Any:
        result = original(*words, **named)
        trigger.pull()
        return result

    return call


def _half_saved(original: Call, trigger: Trigger) -> Call:
    """torch.save that dies with half of the bytes in the file."""

    def call(state: Any, file: Any, *words: Any, **named: Any) -> Any:
        if not trigger.due:
            return original(state, file, *words, **named)
        whole = io.BytesIO()
        original(state, whole, *words, **named)
        file.write(whole.getvalue()[: len(whole.getvalue()) // 2])
        getattr(file, "_file", file).flush()  # what checkpoints hand to torch wraps the file
        return trigger.pull()

    return call


def _half_written(original: Call, trigger: Trigger) -> Call:
    """write_whole(descriptor, content) that dies within a line."""

    def call(descriptor: int, content: bytes) -> Any:
        original(descriptor, content[: len(content) // 2] if trigger.due else content)
        return trigger.pull()

    return call


def _half_flushed(original: Call, trigger: Trigger) -> Call:
    """MetricsWriter.flush that dies within a row."""

    def call(writer: Any) -> Any:
        if trigger.due and len(writer._buffer) > 1:  # noqa: SLF001 - what is torn is inside
            os.write(writer._descriptor, bytes(writer._buffer[: len(writer._buffer) // 2]))  # noqa: SLF001
            trigger.pull()
        return original(writer)

    return call


def _of_checkpoints(wrap: Wrap) -> Wrap:
    """Only renames of checkpoints."""

    def wrapped(original: Call, trigger: Trigger) -> Call:
        deadly = wrap(original, trigger)
        return lambda source, target, **named: (deadly if str(target).endswith(".pt") else original)(
            source, target, **named
        )

    return wrapped


def _of_steering(wrap: Wrap) -> Wrap:
    """Only ledger lines that speak of a nudge."""

    def wrapped(original: Call, trigger: Trigger) -> Call:
        deadly = wrap(original, trigger)
        return lambda where, event, **named: (deadly if event in ("scheduled", "nudged") else original)(
            where, event, **named
        )

    return wrapped


_LOOP, _STEPPER = "hpo_cli.engine.loop:TrainingLoop", "hpo_cli.engine.step:Stepper"
MOMENTS: Mapping[str, Moment] = {
    "start": Moment(f"{_LOOP}.begin", _before, anywhere=True),
    "mid-step": Moment(f"{_STEPPER}._apply", _before),
    "mid-accumulation": Moment(f"{_STEPPER}._accumulate", _after),
    "last batch of an epoch": Moment(f"{_LOOP}._end_epoch", _before),
    "validation": Moment("hpo_cli.engine.loop:evaluate", _after),
    "judgement": Moment(f"{_LOOP}._judge", _before),
    "half-written checkpoint": Moment("torch:save", _half_saved),
    "before a checkpoint's rename": Moment("os:replace", _of_checkpoints(_before)),
    "after a checkpoint's rename": Moment("os:replace", _of_checkpoints(_after)),
    "torn ledger line": Moment("hpo_cli.record.jsonl:write_whole", _half_written),
    "torn metrics row": Moment("hpo_cli.record.metrics_writer:MetricsWriter.flush", _half_flushed),
    "before the result": Moment("hpo_cli.engine.run:write_json", _before, anywhere=True),
    "after the result": Moment("hpo_cli.engine.run:write_json", _after, anywhere=True),
}
"""Name -> where a run dies."""

NUDGE_MOMENTS: Mapping[str, Moment] = {
    "before a nudge is recorded": Moment("hpo_cli.record.ledger:append", _of_steering(_before), anywhere=True),
    "after a nudge is recorded": Moment("hpo_cli.record.ledger:append", _of_steering(_after), anywhere=True),
}
"""The same for runs that are nudged."""


def arm(moment: Moment, *, board: Board, at_step: int) -> None:
    """Make this process die at its first `moment` after `at_step` steps. Only for a fork: nothing is put back."""
    _wrap(moment.place, lambda original: moment.wrap(original, Trigger(board, -1 if moment.anywhere else at_step)))


def report_steps(board: Board) -> None:
    """Make this process note every step of its run on the board."""

    def noting(original: Call) -> Call:
        def step(loop: Any, *words: Any, **named: Any) -> Any:
            board.note(loop.position.step)
            result = original(loop, *words, **named)
            board.note(loop.position.step)
            return result

        return step

    def noting_in_between(original: Call) -> Call:
        def after_step(loop: Any, *words: Any, **named: Any) -> Any:
            board.note(loop.position.step)
            return original(loop, *words, **named)

        return after_step

    _wrap(f"{_LOOP}._step", noting)
    _wrap(f"{_LOOP}._after_step", noting_in_between)


def before_training(action: Callable[[], None]) -> None:
    """Make this process call `action` when its run is about to train."""

    def acting(original: Call) -> Call:
        def begin(*words: Any, **named: Any) -> Any:
            action()
            return original(*words, **named)

        return begin

    _wrap(f"{_LOOP}.begin", acting)


def look_for_commands_at_every_step() -> None:
    """Make this process read its run's inbox between any two steps: a command that lies there is read at step 0."""
    importlib.import_module("hpo_cli.engine.steering").POLL_SECONDS = 0.0  # type: ignore[attr-defined]


def _wrap(place: str, wrapper: Callable[[Call], Call]) -> None:
    """Replace the function at `place`. Raises AttributeError where there is none."""
    module, _, path = place.partition(":")
    owner: Any = importlib.import_module(module)
    *within, name = path.split(".")
    for part in within:
        owner = getattr(owner, part)
    setattr(owner, name, wrapper(getattr(owner, name)))
