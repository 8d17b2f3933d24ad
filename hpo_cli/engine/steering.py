"""Steers a live run between two steps: its script after a resume or a rollback, and what the first process decides.

Nothing takes force that is not in the ledger before; what is there takes force again when the run is killed and goes
on. All processes of a run carry out the same orders at the same boundaries.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator

from hpo_cli.engine import checkpoints
from hpo_cli.engine.checking import Surroundings
from hpo_cli.engine.course import Course, chart
from hpo_cli.engine.knobs import set_knobs
from hpo_cli.engine.loop import TrainingLoop
from hpo_cli.engine.orders import POLL_SECONDS, Decisions, Order
from hpo_cli.engine.rescue import Trouble
from hpo_cli.engine.standing import Standing
from hpo_cli.errors import RunFailedError
from hpo_cli.record import ledger
from hpo_cli.record.ledger import Event
from hpo_cli.steer.story import story_of


class FolderSteering:
    """Steers the run of a folder. See loop.Steering."""

    def __init__(self, around: Surroundings, course: Course) -> None:
        self._around, self._course = around, course
        self._standing = Standing(around.plan, course)
        self.decisions = Decisions(around, self._standing)
        self._meeting = 0
        self.attend_step = self.attend_at = 0.0

    @property
    def line(self) -> list[str]:
        """The ids of the events that are in force."""
        return self._standing.line

    @property
    def catching_up(self) -> int | None:
        """To which step of its past the run is on its way; None when it is where it was."""
        return self._standing.catching_up

    def begin(self, loop: TrainingLoop) -> None:
        """Bring a loop that stands at the run's very start to where its course goes on."""
        if self._course.state is not None:
            loop.restore(self._course.state)
        self._standing.take(self._course)

    def attend(self, loop: TrainingLoop) -> None:
        """See loop.Steering."""
        again = True
        while again:
            while self._standing.has_script_at(loop.position.step):
                self._apply(self._standing.script.pop(0), loop, said="again, ")
            for order in self._told(loop):
                self._execute(order, loop)
            again = self._standing.has_script_at(loop.position.step) or bool(self._standing.due_orders(loop))
        self._plan_next(loop)

    def _told(self, loop: TrainingLoop) -> Iterator[Order]:
        """The first process's orders, in all processes."""
        backend = loop.stepper.backend
        decided = self.decisions.orders(loop) if backend.shard.rank == 0 else iter(())
        while (order := backend.told(next(decided, None))) is not None:
            yield order

    def answer(self, loop: TrainingLoop, trouble: Trouble) -> None:
        """See loop.Steering."""
        start, backend = self._standing.floor_step, loop.stepper.backend
        answer = loop.rescue.answer(trouble, position_step=loop.position.step, start_step=start)
        event = None
        if backend.shard.rank == 0 and answer and self._num_rescues() < self._around.plan.rescue.limit:
            event = self.decisions.rescue(
                loop, to=answer.to_step, why=str(trouble), skip_batches=answer.skip_batches, changes=answer.changes
            )
        event = backend.told(event)
        if event is not None:
            self._go_back(event, loop)
            self._plan_next(loop)
        elif trouble.kind == "nan":
            loop.fail(trouble)
        else:
            loop.reporter.noted(f"{trouble}; rescue.limit is reached, so training goes on")

    def _num_rescues(self) -> int:
        events = ledger.read_ledger(self._around.folder).events
        return sum(event["event"] == "rolled_back" and event.get("who") == "rule" for event in events)

    def _execute(self, order: Order, loop: TrainingLoop) -> None:
        match order.get("do"):
            case "save":
                loop.save(tag=order["tag"], keep=order["keep"], command=order.get("command"))
            case "signal":
                loop.stop(order["signum"])
            case "end":
                self._standing.orders.pop(order.get("scheduled", ""), None)
                loop.end()
            case "stand":
                self._standing.orders[order["event"]["id"]] = order["event"]
            case "drop":
                self._standing.orders.pop(order["id"], None)
            case "go on":
                self._meeting = loop.position.step + order["steps"]
            case None if order["event"]["event"] == "rolled_back":
                self._go_back(order["event"], loop)
            case None:
                self._around.recorder.abandon(after=loop.position.step)
                self._apply(order["event"], loop)

    def _apply(self, event: Event, loop: TrainingLoop, *, said: str = "") -> None:
        """Let an event of the line take force at this boundary."""
        try:
            if event["event"] == "rolled_back":
                loop.skip(event.get("skip_batches") or 0)
            else:
                set_knobs(loop.system, {key: change["new"] for key, change in event["knobs"].items()})
                loop.retune()
        except (KeyError, TypeError, ValueError) as error:
            what = f"the ledger's {event['event']} {event['id']} cannot take force ({type(error).__name__}: {error})"
            raise RunFailedError(f"{self._around.folder}: {what}; restore the ledger") from error
        self._standing.add(event)
        if event["event"] == "nudged":
            loop.reporter.noted(f"{said}{story_of(event)}")

    def _go_back(self, event: Event, loop: TrainingLoop) -> None:
        """Go on from the newest state on the line that the rollback has left."""
        around = self._around
        loop.reporter.noted(story_of(event))
        around.recorder.join()
        course = self._charted(loop)
        since = None
        if course.state is None:
            around.origin(loop)
        else:
            loop.restore(course.state)
            since = course.state["recorded_bytes"]["metrics"] if event.get("file") else None
        around.recorder.abandon(after=event["to"], known_after=course.step, since=since)
        self._standing.take(course)
        if loop.stepper.backend.shard.rank == 0:
            checkpoints.move_abandoned(around.folder, course.line, keep=around.plan.checkpoint.keep_abandoned)
        loop.retune()

    def _charted(self, loop: TrainingLoop) -> Course:
        """The course by the ledger. The first process looks first: it sets aside what is damaged."""
        backend, warn = loop.stepper.backend, loop.reporter.noted
        first = chart(self._around.folder, warn=warn) if backend.shard.rank == 0 else None
        backend.told(None)
        return first or chart(self._around.folder, warn=warn)

    def _plan_next(self, loop: TrainingLoop) -> None:
        """When the loop must ask again."""
        step, several = loop.position.step, loop.stepper.backend.shard.is_several
        dues = self._standing.next_steps(loop)
        if several:  # all processes must come to the same answer; the first alone knows who waits for one
            dues.append(max(self._meeting, step + 1))
        elif self.decisions.owes_answers:
            dues.append(step + 1)
        self.attend_step = max(min(dues, default=math.inf), step if self._standing.script else step + 1)
        self.attend_at = math.inf if several else time.monotonic() + POLL_SECONDS
