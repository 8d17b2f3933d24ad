"""Steers a live run between two steps: its script after a resume or rollback, commands from outside, standing orders.

The first process decides: it checks a command, writes it into the ledger and then tells all processes. Nothing takes
force that is not on disk before; what is on disk takes force again when the run is killed and goes on.
"""

from __future__ import annotations

import math
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from hpo_cli.components.data.arrays import Splits
from hpo_cli.engine import checkpoints
from hpo_cli.engine.course import Course, chart
from hpo_cli.engine.knobs import read_knobs, set_knobs
from hpo_cli.engine.loop import TrainingLoop
from hpo_cli.engine.patience import Patience, append
from hpo_cli.engine.preflight import check_change
from hpo_cli.engine.rescue import Trouble
from hpo_cli.engine.stop import StopFlag
from hpo_cli.errors import RunFailedError, UserError, shown
from hpo_cli.plan import RunPlan
from hpo_cli.record import ledger, metrics
from hpo_cli.record.contents import mapping
from hpo_cli.record.folder import METRICS
from hpo_cli.record.ledger import Event
from hpo_cli.record.line import Line, force_step, living_line
from hpo_cli.steer.changes import revised, settled, value_of
from hpo_cli.steer.commands import acknowledge
from hpo_cli.steer.hot import knob_of
from hpo_cli.steer.inbox import Inbox
from hpo_cli.steer.shapes import Command
from hpo_cli.steer.targets import Goal, resolve_target

POLL_SECONDS = 0.2
"""How often the first process looks for commands, signals and a due checkpoint."""

Order = Mapping[str, Any]
Check = Callable[..., RunPlan]
"""validate.plan_from_config: config, choices=... -> the plan, or ConfigError."""


class Tender(Protocol):
    """What steering asks of the recorder."""

    def flush(self) -> None:
        """Rows that were handed over can be read."""

    def join(self) -> None:
        """Everything that was handed over is on disk."""


    def abandon(self, *, after: int, known_after: int | None = None, since: int | None = None) -> None:
        """Rows beyond step `after` are of another line."""


@dataclass(frozen=True)
class Surroundings:
    """What a run's steering works with. origin: brings a loop to the run's very start; None: nobody checks commands."""

    folder: Path
    plan: RunPlan
    splits: Splits
    recorder: Tender
    stop: StopFlag
    patience: Patience
    check: Check | None
    origin: Callable[[TrainingLoop], None]
    is_lost: Callable[[], bool] = lambda: False


@dataclass(frozen=True)
class _Pending:
    """A nudge that waits for the step after which it is acknowledged."""

    command: Command
    event: Event
    before: Mapping[str, Any]


class FolderSteering:
    """Steers the run of a folder. See loop.Steering."""

    def __init__(self, around: Surroundings, course: Course) -> None:
        self._around, self._course = around, course
        self._inbox = Inbox(around.folder)
        self._applied: list[Event] = []
        self._script: list[Event] = []
        self._standing: dict[str, Event] = {}
        self._pending: list[_Pending] = []
        self._config, self._choices = dict(around.plan.config), dict(around.plan.choices)
        self._paused = self._ended = False
        self._meeting = 0
        self.attend_step = 0.0
        self.attend_at = 0.0

    @property
    def line(self) -> list[str]:
        """The ids of the events that are in force."""
        return [event["id"] for event in self._applied]

    @property
    def paused(self) -> bool:
        """Whether the run waits."""
        return self._paused

    @property
    def ended(self) -> Event | None:
        """The event that ended the run by a command, if one did."""
        return self._end

    _end: Event | None = None

    def begin(self, loop: TrainingLoop) -> None:
        """Bring a loop that stands at the run's very start to where its course goes on."""
        course = self._course
        if course.state is not None:
            loop.restore(course.state)
        self._take(course)
        self._plan_next(loop)

    def _take(self, course: Course) -> None:
        self._course = course
        self._applied, self._script = list(course.line.chain[: course.applied]), course.script
        self._standing = _standing(course.line, self._around.plan)
        self._settle()

    def _settle(self) -> None:
        """The config as it is with all that is in force."""
        plan = self._around.plan
        self._config, self._choices = settled(plan.config, plan.choices, Line(tuple(self._applied)))

    def attend(self, loop: TrainingLoop) -> None:
        """See loop.Steering."""
        backend, again = loop.stepper.backend, True
        while again:
            self._follow_script(loop)
            orders = self._orders(loop) if backend.shard.rank == 0 else iter(())
            while (order := backend.told(next(orders, None))) is not None:
                self._execute(order, loop)
            again = self._is_due(loop)
        self._plan_next(loop)

    def _is_due(self, loop: TrainingLoop) -> bool:
        return bool(self._script) and force_step(self._script[0]) <= loop.position.step

    def answer(self, loop: TrainingLoop, trouble: Trouble) -> None:
        """See loop.Steering."""
        start = self._course.start_step
        answer = loop.rescue.answer(trouble, position_step=loop.position.step, start_step=start)
        if answer is None or self._num_rescues() >= self._around.plan.rescue.limit:
            loop.fail(trouble)
        event = None
        if loop.stepper.backend.shard.rank == 0:
            event = self._record(
                "rolled_back", loop.position.step, id=new_id(), to=answer.to_step,
                line=list(Line(tuple(self._applied)).before(answer.to_step)), file=None,
                skip_batches=answer.skip_batches, changes=dict(answer.changes), who="rule", why=str(trouble),
            )  # fmt: skip
        self._execute({"event": loop.stepper.backend.told(event)}, loop)
        self._plan_next(loop)

    def _num_rescues(self) -> int:
        events = ledger.read_ledger(self._around.folder).events
        return sum(event["event"] == "rolled_back" and event.get("who") == "rule" for event in events)

    def close(self, loop: TrainingLoop | None) -> None:
        """Answer whoever still waits."""
        if loop is not None:
            self._acknowledge(loop)
        for command in self._inbox.read().commands:
            self._refuse(command, "the run has ended")

    # what all processes do ---------------------------------------------------------------------------------------

    def _follow_script(self, loop: TrainingLoop) -> None:
        while self._is_due(loop):
            self._apply(self._script.pop(0), loop)

    def _execute(self, order: Order, loop: TrainingLoop) -> None:
        match order.get("do"):
            case "save":
                loop.save(tag=order["tag"], keep=order["keep"])
            case "signal":
                loop.stop(order["signum"])
            case "end":
                self._standing.pop(order.get("scheduled", ""), None)
                loop.finished = True
            case "stand":
                self._standing[order["event"]["id"]] = order["event"]
            case "drop":
                self._standing.pop(order["id"], None)
            case "go on":
                self._meeting = loop.position.step + order["steps"]
            case "wait":
                pass
            case _:
                self._enforce(order["event"], loop)

    def _enforce(self, event: Event, loop: TrainingLoop) -> None:
        """A new event of the line."""
        if event["event"] == "rolled_back":
            self._go_back(event, loop)
            return
        self._around.recorder.abandon(after=loop.position.step)
        self._apply(event, loop)

    def _apply(self, event: Event, loop: TrainingLoop) -> None:
        """Let an event of the line take force at this boundary."""
        if event["event"] == "rolled_back":
            loop.skip(event.get("skip_batches") or 0)
        else:
            knobs = {key: change["new"] for key, change in event["knobs"].items()}
            set_knobs(loop.system, knobs)
            loop.retune()
        self._applied.append(event)
        self._standing.pop(str(event.get("scheduled")), None)
        self._settle()
        loop.reporter.noted(story_of(event))

    def _go_back(self, event: Event, loop: TrainingLoop) -> None:
        around = self._around
        around.recorder.join()
        backend = loop.stepper.backend
        if backend.shard.rank == 0:
            course = chart(around.folder, warn=loop.reporter.noted)
        backend.told(None)  # the others look once the first has set aside what is damaged
        if backend.shard.rank > 0:
            course = chart(around.folder, warn=loop.reporter.noted)
        since = None
        if course.state is None:
            around.origin(loop)
        else:
            loop.restore(course.state)
            since = course.state["recorded_bytes"]["metrics"] if event.get("file") else None
        around.recorder.abandon(after=event["to"], known_after=course.step, since=since)
        self._take(course)
        if backend.shard.rank == 0:
            checkpoints.move_abandoned(around.folder, course.line, keep=around.plan.checkpoint.keep_abandoned)
        loop.retune()
        loop.reporter.noted(story_of(event))

    # what the first process decides ------------------------------------------------------------------------------

    def _orders(self, loop: TrainingLoop) -> Iterator[Order]:
        yield from self._poll(loop)
        if self._paused:
            yield {"do": "save", "tag": None, "keep": "rolling"}
        while self._paused:
            time.sleep(POLL_SECONDS)
            yield {"do": "wait"}
            yield from self._poll(loop)
        if loop.stepper.backend.shard.world > 1:
            yield {"do": "go on", "steps": self._section(loop)}

    def _poll(self, loop: TrainingLoop) -> Iterator[Order]:
        if self._around.is_lost():
            raise LostError(self._around.folder)
        self._acknowledge(loop)
        several = loop.stepper.backend.shard.world > 1
        if self._around.stop.signum and (several or self._paused):
            yield {"do": "signal", "signum": self._around.stop.signum}
        if several and loop.checkpoint_overdue:
            yield {"do": "save", "tag": None, "keep": "rolling"}
        if not self._script:
            for event in [one for one in self._standing.values() if self._due_step(one, loop) <= loop.position.step]:
                yield from self._fire(event, loop)
        if not self._inbox.pending():
            return
        found = self._inbox.read()
        for reject in found.rejects:
            self._record("set_aside", loop.position.step, file=reject.file, reason=reject.reason)
        for command in found.commands:
            if self.ended or (self._script and command.verb in ("nudge", "rollback")):
                continue  # it stays there: the line must be walked to its end first
            try:
                yield from self._obey(command, loop)
            except UserError as error:
                self._refuse(command, str(error))

    def _obey(self, command: Command, loop: TrainingLoop) -> Iterator[Order]:
        if self._is_done(command.id):
            self._accept(command, loop, ["it is in force already: the run was killed before it could say so"])
            return
        who, why, args = command.who, command.why, command.args
        step = loop.position.step
        match command.verb:
            case "nudge" | "stop" if args.get("due"):
                yield from self._stand(command, loop)
            case "nudge":
                before = read_knobs(loop.system)
                event = self._nudged(args["changes"], loop, id=command.id, who=who, why=why)
                self._pending.append(_Pending(command, event, before))
                yield {"event": event}
            case "pause" | "unpause":
                self._paused = command.verb == "pause"
                self._record(f"{command.verb}d", step, command=command.id, who=who, why=why)
                loop.reporter.noted(f"{command.verb}d at step {step} by {who}")
                self._accept(command, loop, [f"{command.verb}d at step {step}"])
            case "stop":
                self._paused = False
                yield {"do": "save", "tag": None, "keep": "rolling"}
                self._around.recorder.join()
                self._end = {"who": who, "why": why}
                self._accept(command, loop, [f"ends at step {step}; its state is saved"])
                yield {"do": "end"}
            case "checkpoint":
                self._check_tag(args.get("tag"))
                yield {"do": "save", "tag": args.get("tag"), "keep": "kept"}
                self._around.recorder.join()
                named = f" as {args['tag']}" if args.get("tag") else ""
                self._accept(command, loop, [f"saved at step {step}{named}; it is kept for ever"])
            case "rollback":
                yield from self._roll_back(command, loop)
            case "cancel":
                yield from self._cancel(command, loop)

    def _stand(self, command: Command, loop: TrainingLoop) -> Iterator[Order]:
        """Put off what a command asks for."""
        args, do = command.args, command.verb
        changes = args.get("changes") or {}
        if changes:
            self._revised(changes, loop)
        event = self._record(
            "scheduled", loop.position.step, id=command.id, due=args["due"], do=do, changes=changes,
            who=command.who, why=command.why,
        )  # fmt: skip
        yield {"do": "stand", "event": event}
        due = self._due_step(event, loop)
        self._accept(command, loop, [f"will take force after step {due:.0f} (now {loop.position.step})"])

    def _cancel(self, command: Command, loop: TrainingLoop) -> Iterator[Order]:
        wanted = command.args["scheduled"]
        names = [name for name in self._standing if name == wanted or name.endswith(wanted)]
        if len(names) != 1:
            raise UserError(f"{wanted}: nothing of that id waits; it waits: {', '.join(self._standing) or 'nothing'}")
        self._record("cancelled", loop.position.step, scheduled=names[0], who=command.who, why=command.why)
        yield {"do": "drop", "id": names[0]}
        self._accept(command, loop, [f"{names[0]} is cancelled"])

    def _fire(self, event: Event, loop: TrainingLoop) -> Iterator[Order]:
        """A standing order that is due."""
        who, why = str(event.get("who")), str(event.get("why") or "")
        if event.get("do") == "stop":
            self._record("fulfilled", loop.position.step, scheduled=event["id"])
            self._end = {"who": who, "why": why}
            yield {"do": "end", "scheduled": event["id"]}
            return
        try:
            nudged = self._nudged(event["changes"], loop, id=new_id(), who=who, why=why, scheduled=event["id"])
        except UserError as error:
            reason = str(error)
            self._record("cancelled", loop.position.step, scheduled=event["id"], reason=reason)
            yield {"do": "drop", "id": event["id"]}
            loop.reporter.noted(f"not done: {reason}")
            return
        yield {"event": nudged}

    def _roll_back(self, command: Command, loop: TrainingLoop) -> Iterator[Order]:
        around, args = self._around, command.args
        goal = self._goal(args["to"], loop)
        changes = args.get("changes") or {}
        settings = settled(around.plan.config, around.plan.choices, self._chain_of(goal.line_ids))
        if changes:
            self._checked(*settings, changes)
        left = f"left-{loop.position.step}"
        yield {"do": "save", "tag": self._free_tag(left), "keep": "kept"}
        around.recorder.join()
        event = self._record(
            "rolled_back", loop.position.step, id=command.id, to=goal.step, line=list(goal.line_ids), file=goal.file,
            skip_batches=args.get("skip_batches") or 0, changes=changes, who=command.who, why=command.why,
        )  # fmt: skip
        before = loop.position.step
        yield {"event": event}
        again = goal.step - loop.position.step
        said = [f"step {before} -> {goal.step}; what was left is kept as the tag {left}"]
        if again > 0:
            said.append(f"no checkpoint is nearer than step {loop.position.step}: {again} steps are trained again")
        self._accept(command, loop, said)

    def _goal(self, to: Mapping[str, Any], loop: TrainingLoop) -> Goal:
        around = self._around
        events = ledger.read_ledger(around.folder).events
        around.recorder.flush()
        return resolve_target(
            to,
            line=living_line(events),
            rows=metrics.read_metrics(around.folder / METRICS),
            position_step=loop.position.step,
            start_step=self._course.start_step,
            objective=around.plan.objective,
        )

    def _chain_of(self, ids: tuple[str, ...]) -> Line:
        known = {event["id"]: event for event in ledger.read_ledger(self._around.folder).events if event.get("id")}
        return Line(tuple(known[name] for name in ids if name in known))

    def _free_tag(self, tag: str) -> str:
        taken = self._tags()
        return next(name for name in (tag, *(f"{tag}-{k}" for k in range(2, 10_000))) if name not in taken)

    def _check_tag(self, tag: str | None) -> None:
        if tag is not None and tag in self._tags():
            raise UserError(f"--tag {tag}: is taken, and nothing saved is overwritten; give another name")

    def _tags(self) -> set[object]:
        return {event.get("tag") for event in ledger.read_ledger(self._around.folder).events}

    def _nudged(
        self, changes: Mapping[str, Any], loop: TrainingLoop, *, id: str, who: str, why: str, **fields: Any  # noqa: A002
    ) -> Event:
        """Check changes against the live run and record them. Raises UserError; then nothing has changed."""
        config, choices = self._revised(changes, loop)
        live = read_knobs(loop.system)
        keys = dict.fromkeys(knob_of(key) for key in changes)
        if missing := [key for key in keys if key not in live]:
            raise UserError(f"{', '.join(missing)}: this run has no place for it, so it would change nothing")
        knobs = {key: {"old": live[key], "new": value_of(config, choices, key)} for key in keys}
        return self._record("nudged", loop.position.step, id=id, knobs=knobs, who=who, why=why, **fields)

    def _revised(self, changes: Mapping[str, Any], loop: TrainingLoop) -> tuple[dict[str, Any], dict[str, str]]:
        config, choices, plan = self._checked(self._config, self._choices, changes)
        check_change(plan, loop.system, splits=self._around.splits, position=loop.position)
        return config, choices

    def _checked(
        self, config: Mapping[str, Any], choices: Mapping[str, str], changes: Mapping[str, Any]
    ) -> tuple[dict[str, Any], dict[str, str], RunPlan]:
        new_config, new_choices = revised(config, choices, changes, run=self._around.folder.name)
        assert self._around.check is not None  # noqa: S101 - the first process has one
        plan = self._around.check(new_config, choices=new_choices)
        return new_config, new_choices, plan

    def _section(self, loop: TrainingLoop) -> int:
        """After how many steps several processes meet again: about POLL_SECONDS."""
        now, step = time.monotonic(), loop.position.step
        since, at = self._met
        self._met = (now, step)
        rate = (step - at) / max(1e-9, now - since)
        return max(1, min(1000, round(POLL_SECONDS * rate))) if step > at else 1

    _met: tuple[float, int] = (0.0, 0)

    def _plan_next(self, loop: TrainingLoop) -> None:
        """When the loop must ask again."""
        step = loop.position.step
        dues = [float(force_step(event)) for event in self._script[:1]]
        if not self._script:
            dues += [self._due_step(event, loop) for event in self._standing.values()]
        if self._pending:
            dues.append(step + 1)
        several = loop.stepper.backend.shard.world > 1
        if several:
            dues.append(max(self._meeting, step + 1))
        self.attend_step = max(min(dues, default=math.inf), step if self._script else step + 1)
        self.attend_at = math.inf if several else time.monotonic() + POLL_SECONDS

    def _due_step(self, event: Event, loop: TrainingLoop) -> float:
        due, horizon, position = mapping(event.get("due")), loop.horizon, loop.position
        if "step" in due:
            return float(due["step"])
        if "progress" in due:
            return float(round(due["progress"] * horizon.total_steps))
        epochs_left = int(due["epoch"]) - position.epoch
        if epochs_left <= 0:
            return float(position.step)
        to_end = loop.steps_to_epoch_end()
        return float(position.step + to_end + (epochs_left - 1) * horizon.steps_per_epoch)

    # saying and writing ------------------------------------------------------------------------------------------

    def _record(self, kind: str, step: int, **fields: Any) -> Event:
        return append(self._around.folder, kind, step=step, patience=self._around.patience, **fields)

    def _is_done(self, name: str) -> bool:
        events = ledger.read_ledger(self._around.folder).events
        return any(name in (event.get("id"), event.get("command")) for event in events)

    def _acknowledge(self, loop: TrainingLoop) -> None:
        """Tell who nudged what the live system has now, once a step has used it."""
        live = read_knobs(loop.system) if self._pending else {}
        for pending in self._pending:
            knobs = {key: {"old": change["old"], "new": live.get(key)} for key, change in pending.event["knobs"].items()}
            said = [f"step {pending.event['step']}: {changes_of(knobs)}"]
            if loop.position.step == pending.event["step"]:
                said.append("it takes force with the next step")
            acknowledge(
                self._around.folder, pending.command.id, ok=True, step=loop.position.step, said=said, knobs=knobs,
                lr=loop.rate if loop.position.step > pending.event["step"] else None,
            )  # fmt: skip
        self._pending.clear()

    def _accept(self, command: Command, loop: TrainingLoop, said: list[str]) -> None:
        acknowledge(self._around.folder, command.id, ok=True, step=loop.position.step, said=said)

    def _refuse(self, command: Command, reason: str) -> None:
        acknowledge(self._around.folder, command.id, ok=False, error=reason)


class LostError(RunFailedError):
    """Another process has taken the run over; this one must write nothing more."""

    def __init__(self, folder: Path) -> None:
        super().__init__(f"{folder}: another process has taken this run over; this one ends without a word in its record")


def story_of(event: Event) -> str:
    """An event of the line in a person's words."""
    who = f" ({event.get('who')}{': ' + str(event['why']) if event.get('why') else ''})"
    if event["event"] == "rolled_back":
        skipped = f", {event['skip_batches']} batches skipped" if event.get("skip_batches") else ""
        return f"rolled back from step {event['step']} to {event['to']}{skipped}{who}"
    return f"step {event['step']}: {changes_of(event['knobs'])}{who}"


def changes_of(knobs: Mapping[str, Mapping[str, Any]]) -> str:
    """`lr 0.001 -> 0.0003, regularization.dropout 0.0 -> 0.2`."""
    return ", ".join(f"{key} {_said(change['old'])} -> {_said(change['new'])}" for key, change in knobs.items())


def _said(value: object) -> str:
    if isinstance(value, Mapping):
        keys = " ".join(f"{key}={shown(one)}" for key, one in value.items() if key not in ("option", "_target_"))
        return f"{value.get('option')}{' ' + keys if keys else ''}"
    return shown(value)


def _standing(living: Line, plan: RunPlan) -> dict[str, Event]:
    """What is still to be done of the orders for later: those in the ledger, of rollbacks, of the plan itself."""
    done = {event.get("scheduled") for event in living.chain}
    orders = [*living.standing, *map(_after, living.chain), *_planned(plan)]
    return {order["id"]: order for order in orders if order["id"] not in done and order["changes"] is not None}


def _after(event: Event) -> Event:
    changes = event.get("changes") if event["event"] == "rolled_back" else None
    return {**event, "do": "nudge", "due": {"step": force_step(event)}, "changes": changes or None}


def _planned(plan: RunPlan) -> Iterator[Event]:
    for index, nudge in enumerate(plan.nudges):
        changes = {key: ["=", value] for key, value in nudge.changes.items()}
        yield {
            "id": f"planned-{index}", "do": "nudge", "due": {"progress": nudge.at}, "changes": changes,
            "who": "schedule", "why": "",
        }  # fmt: skip


def new_id() -> str:
    """An id for an event; later ones sort behind earlier ones."""
    return f"{time.time_ns():020d}-{secrets.token_hex(4)}"
