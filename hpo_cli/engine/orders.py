"""What the first process of a run decides at a step boundary: commands, signals, orders that are due.

Each decision is checked against the live run and written into the ledger before it is handed out as an order, which
all processes then carry out. Whoever sent a command is answered with what the live system says afterwards.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hpo_cli.engine.checking import Checks, Surroundings
from hpo_cli.engine.knobs import read_knobs
from hpo_cli.engine.loop import TrainingLoop
from hpo_cli.engine.patience import append
from hpo_cli.engine.standing import Standing, due_step, has_passed, is_paused
from hpo_cli.errors import RunFailedError, UserError
from hpo_cli.record.ledger import Event
from hpo_cli.record.line import Line
from hpo_cli.steer.changes import value_of
from hpo_cli.steer.commands import acknowledge
from hpo_cli.steer.hot import knob_of
from hpo_cli.steer.inbox import Inbox
from hpo_cli.steer.shapes import Command, new_id
from hpo_cli.steer.story import changes_of

POLL_SECONDS = 0.2
"""How often the first process looks for commands, signals and a due checkpoint."""

Order = Mapping[str, Any]
"""{"event": of the line} or {"do": "save", "signal", "end", "stand", "drop", "go on" or "wait", ...}."""

SAVE: Order = {"do": "save", "tag": None, "keep": "rolling"}


class LostError(RunFailedError):
    """Another process has taken the run over; this one must write nothing more."""

    def __init__(self, folder: Path) -> None:
        super().__init__(f"{folder}: another process has taken this run over; this one ends and writes nothing more")


@dataclass(frozen=True)
class _Pending:
    """A nudge that waits for the step after which it is acknowledged."""

    command: Command
    event: Event


class Decisions:
    """Decides for a live run. `paused` and `ended` tell what it came to."""

    def __init__(self, around: Surroundings, standing: Standing) -> None:
        self._around, self._standing = around, standing
        self._inbox, self._checks = Inbox(around.folder), Checks(around, standing)
        self._pending: list[_Pending] = []
        self._met: tuple[float, int] = (0.0, 0)
        self.paused = is_paused(around.folder)
        self.ended: dict[str, str] | None = None
        self._obeyed: Mapping[str, Callable[[Command, TrainingLoop], Iterator[Order]]] = {
            "nudge": self._nudge,
            "pause": self._pause,
            "unpause": self._pause,
            "stop": self._stop,
            "checkpoint": self._checkpoint,
            "rollback": self._roll_back,
            "cancel": self._cancel,
        }

    @property
    def owes_answers(self) -> bool:
        """Whether somebody waits for the next step to be told what it used."""
        return bool(self._pending)

    def orders(self, loop: TrainingLoop) -> Iterator[Order]:
        """What is to be done at this boundary, one after the other. A paused run stays in here."""
        yield from self._poll(loop)
        if self.paused:
            loop.reporter.noted(f"it waits: hpo-run unpause {self._around.folder.name}")
            yield SAVE
        while self.paused and not self._standing.has_script_at(loop.position.step):
            time.sleep(POLL_SECONDS)
            yield {"do": "wait"}
            yield from self._poll(loop)
        if loop.stepper.backend.shard.is_several:
            yield {"do": "go on", "steps": self._section(loop)}

    def rescue(self, loop: TrainingLoop, *, to: int, why: str, skip_batches: int, changes: Mapping[str, Any]) -> Event:
        """Record that a rule takes the run back. What earlier rescues did at the same place stays in force."""
        line = list(Line(tuple(self._standing.applied)).before(to + 1))
        return self._record(
            "rolled_back", loop, id=new_id(), to=to, line=line, file=None, skip_batches=skip_batches,
            changes=dict(changes), who="rule", why=why,
        )  # fmt: skip

    def close(self, loop: TrainingLoop | None) -> None:
        """Answer whoever still waits."""
        if loop is not None:
            self._answer_pending(loop)
        for command in self._inbox.read().commands:
            if not self._checks.is_done(command.id):
                self._refuse(command, "the run has ended")

    def _poll(self, loop: TrainingLoop) -> Iterator[Order]:
        around = self._around
        if around.is_lost():
            raise LostError(around.folder)
        self._answer_pending(loop)
        if around.stop.signum and (self.paused or loop.stepper.backend.shard.is_several):
            yield {"do": "signal", "signum": around.stop.signum}
        if loop.stepper.backend.shard.is_several and loop.checkpoint_overdue:
            yield SAVE
        for order in self._standing.due_orders(loop):
            yield from self._fire(order, loop)
        if self._inbox.pending():
            yield from self._read_inbox(loop)

    def _read_inbox(self, loop: TrainingLoop) -> Iterator[Order]:
        found = self._inbox.read()
        for reject in found.rejects:
            self._record("set_aside", loop, file=reject.file, reason=reject.reason)
        for command in found.commands:
            if self.ended or (self._standing.script and command.verb in ("nudge", "rollback", "checkpoint")):
                continue  # it stays there: the line must be walked to its end first
            if self._checks.is_done(command.id):
                self._accept(command, loop, "it is in force already: the run was killed before it could say so")
                continue
            try:
                yield from self._obeyed[command.verb](command, loop)
            except UserError as error:
                self._refuse(command, str(error))

    # commands ----------------------------------------------------------------------------------------------------

    def _nudge(self, command: Command, loop: TrainingLoop) -> Iterator[Order]:
        changes = command.args["changes"]
        if command.args.get("due"):
            self._checks.revised(changes, loop)
            yield from self._put_off(command, loop)
            return
        event = self._nudged(changes, loop, id=command.id, who=command.who, why=command.why)
        self._pending.append(_Pending(command, event))
        yield {"event": event}

    def _pause(self, command: Command, loop: TrainingLoop) -> Iterator[Order]:
        done, is_pause = f"{command.verb}d", command.verb == "pause"
        if self.paused == is_pause:
            raise UserError(f"{self._around.folder.name}: is {'paused already' if is_pause else 'not paused'}")
        self.paused = is_pause
        self._record(done, loop, command=command.id, who=command.who, why=command.why)
        loop.reporter.noted(f"{done} at step {loop.position.step} by {command.who}")
        self._accept(command, loop, f"{done} at step {loop.position.step}{self._way()}")
        yield from ()

    def _stop(self, command: Command, loop: TrainingLoop) -> Iterator[Order]:
        if command.args.get("due"):
            yield from self._put_off(command, loop)
            return
        order = self._order(command, loop, due={"step": loop.position.step})
        yield {"do": "stand", "event": order}
        yield from self._end(order)
        self._accept(command, loop, f"ends at step {loop.position.step}{self._way()}; its state is saved")

    def _end(self, order: Event) -> Iterator[Order]:
        """Save and end. The order counts as done by the run's last line in the ledger, and by that alone."""
        self.paused = False
        yield SAVE
        self._around.recorder.join()
        self.ended = {key: str(order.get(key) or "") for key in ("who", "why")} | {"scheduled": order["id"]}
        yield {"do": "end", "scheduled": order["id"]}

    def _way(self) -> str:
        to = self._standing.catching_up
        return "" if to is None else f", on its way back to step {to}"

    def _checkpoint(self, command: Command, loop: TrainingLoop) -> Iterator[Order]:
        tag = command.args.get("tag")
        if tag is not None and tag in self._checks.tags():
            raise UserError(f"--tag {tag}: is taken, and nothing saved is overwritten; give another name")
        yield {"do": "save", "tag": tag, "keep": "kept", "command": command.id}
        self._around.recorder.join()
        named = f" as {tag}" if tag else ""
        self._accept(command, loop, f"saved at step {loop.position.step}{named}; it is kept for ever")

    def _roll_back(self, command: Command, loop: TrainingLoop) -> Iterator[Order]:
        args, came_from = command.args, loop.position.step
        goal = self._checks.goal(args["to"], loop)
        changes, skipped = args.get("changes") or {}, args.get("skip_batches") or 0
        left_over = (loop.horizon.total_steps - goal.step) * loop.system.settings.accumulate
        if skipped >= left_over:
            left = f"{left_over} batches are left from step {goal.step} on"
            raise UserError(f"--skip-data {skipped}: leaves nothing to train; {left}")
        if changes:
            self._checks.changes_at(goal, changes, loop)
        left = self._checks.free_tag(f"left-{came_from}")
        yield {"do": "save", "tag": left, "keep": "kept"}
        self._around.recorder.join()
        event = self._record(
            "rolled_back", loop, id=command.id, to=goal.step, line=list(goal.line_ids), file=goal.file,
            skip_batches=skipped, changes=changes, who=command.who, why=command.why,
        )  # fmt: skip
        yield {"event": event}
        again = goal.step - loop.position.step
        said = [f"step {came_from} -> {goal.step}; --to tag={left} undoes it"]
        if again > 0:
            said.append(f"the nearest checkpoint is of step {loop.position.step}: {again} steps are trained again")
        self._accept(command, loop, *said)

    def _cancel(self, command: Command, loop: TrainingLoop) -> Iterator[Order]:
        wanted, orders = command.args["scheduled"], self._standing.orders
        names = [name for name in orders if name == wanted or name.endswith(wanted)]
        if len(names) != 1:
            raise UserError(f"{wanted}: nothing of that id waits; what waits: {', '.join(orders) or 'nothing'}")
        self._record("cancelled", loop, scheduled=names[0], command=command.id, who=command.who, why=command.why)
        yield {"do": "drop", "id": names[0]}
        self._accept(command, loop, f"{names[0]} is cancelled")

    def _put_off(self, command: Command, loop: TrainingLoop) -> Iterator[Order]:
        """Note what a command asks for a later step."""
        due, step, total = command.args["due"], loop.position.step, loop.horizon.total_steps
        at = due_step({"due": due}, loop)
        if at > total or at < step or has_passed(due, loop):
            ((kind, value),) = due.items()
            where = "lies behind the end" if at > total else "has passed"
            raise UserError(f"--at {kind}={value}: {where}, the run is at step {step} of {total}")
        order = self._order(command, loop, due=due)
        yield {"do": "stand", "event": order}
        self._accept(command, loop, f"will take force after step {at:.0f} (now {step})")

    def _order(self, command: Command, loop: TrainingLoop, *, due: Mapping[str, Any]) -> Event:
        return self._record(
            "scheduled", loop, id=command.id, due=dict(due), do=command.verb,
            changes=command.args.get("changes") or {}, who=command.who, why=command.why,
        )  # fmt: skip

    def _fire(self, order: Event, loop: TrainingLoop) -> Iterator[Order]:
        """Do what was asked for this step."""
        who, why = str(order.get("who")), str(order.get("why") or "")
        if order.get("do") == "stop":
            yield from self._end(order)
            return
        try:
            event = self._nudged(order["changes"], loop, id=new_id(), who=who, why=why, scheduled=order["id"])
        except UserError as error:
            self._record("cancelled", loop, scheduled=order["id"], reason=str(error))
            yield {"do": "drop", "id": order["id"]}
            loop.reporter.noted(f"not done: {error}")
            return
        yield {"event": event}

    def _nudged(self, changes: Mapping[str, Any], loop: TrainingLoop, **fields: Any) -> Event:
        """Check changes against the live run and record them. Raises UserError; then nothing has changed."""
        config, choices = self._checks.revised(changes, loop)
        live = read_knobs(loop.system)
        keys = dict.fromkeys(knob_of(key) for key in changes)
        if missing := [key for key in keys if key not in live]:
            raise UserError(f"{', '.join(missing)}: this run has no place for it, so it would change nothing")
        knobs = {key: {"old": live[key], "new": value_of(config, choices, key)} for key in keys}
        return self._record("nudged", loop, knobs=knobs, **fields)

    def _section(self, loop: TrainingLoop) -> int:
        """After how many steps several processes meet again: about POLL_SECONDS."""
        now, step = time.monotonic(), loop.position.step
        (since, at), self._met = self._met, (now, step)
        rate = (step - at) / max(1e-9, now - since)
        return max(1, min(1000, round(POLL_SECONDS * rate))) if step > at else 1

    # writing and answering ---------------------------------------------------------------------------------------

    def _record(self, kind: str, loop: TrainingLoop, **fields: Any) -> Event:
        around = self._around
        return append(around.folder, kind, step=loop.position.step, patience=around.patience, **fields)

    def _answer_pending(self, loop: TrainingLoop) -> None:
        """Tell who nudged what the live system has now that a step has used it."""
        live = read_knobs(loop.system) if self._pending else {}
        step = loop.position.step
        for pending in self._pending:
            asked, at = pending.event["knobs"], pending.event["step"]
            knobs = {key: {"old": change["old"], "new": live.get(key)} for key, change in asked.items()}
            said = [f"step {at}: {changes_of(knobs)}", *(["it takes force with the next step"] if step == at else [])]
            rate = loop.rate if step > at else None
            self._answer(pending.command, ok=True, step=step, said=said, knobs=knobs, lr=rate)
        self._pending.clear()

    def _accept(self, command: Command, loop: TrainingLoop, *said: str) -> None:
        self._answer(command, ok=True, step=loop.position.step, said=said)

    def _refuse(self, command: Command, reason: str) -> None:
        self._answer(command, ok=False, error=reason)

    def _answer(self, command: Command, **fields: Any) -> None:
        acknowledge(self._around.folder, command.id, **fields)
