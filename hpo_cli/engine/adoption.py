"""Population based training's exploit: a run goes back to another run's state and is nudged, in one ledger line."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from hpo_cli.components.data.arrays import Splits
from hpo_cli.engine import checkpoints
from hpo_cli.engine.assembly import load_splits, resumable_system
from hpo_cli.engine.batches import dtype_of
from hpo_cli.engine.checkpoints import State
from hpo_cli.engine.knobs import planned_knobs, read_knobs, set_knobs
from hpo_cli.engine.preflight import check_change
from hpo_cli.engine.progress import Position
from hpo_cli.engine.states import restore_system, system_state
from hpo_cli.engine.system import System
from hpo_cli.errors import ConfigError, UserError
from hpo_cli.plan import SETTING_FREE, RunPlan, make_plan, plan_from_dict
from hpo_cli.record import ledger
from hpo_cli.record.atomic import sync_folder
from hpo_cli.record.contents import DamagedError, count, mapping, read_plan, words
from hpo_cli.record.endings import retire_end
from hpo_cli.record.flat import flatten
from hpo_cli.record.folder import CHECKPOINTS, LEDGER, METRICS
from hpo_cli.record.ledger import Event
from hpo_cli.record.line import Line, is_adoption, living_line
from hpo_cli.record.metrics import MetricsWriter, living_rows
from hpo_cli.steer.changes import revised
from hpo_cli.steer.current import current_setting
from hpo_cli.steer.hot import canonical, is_hot, knob_of
from hpo_cli.steer.lineage import beginning, lineage, seen_from
from hpo_cli.steer.settings import settled, value_of
from hpo_cli.steer.shapes import new_id

Check = Callable[..., RunPlan]
"""validate.plan_from_config: config, choices=... -> the plan, or ConfigError."""

WHO = "sweep"
BEST = "-best-"
"""In the name of the link to the best weights, between the state's name and their step."""


class Takeover(Protocol):
    """What is taken over: see `sweep.executors.contract.Adoption`."""

    @property
    def file(self) -> str:
        """The other run's checkpoint, by now in this run's `checkpoints/` under a name of its own."""

    @property
    def source(self) -> str:
        """The other run's folder."""

    @property
    def changes(self) -> Mapping[str, Any]:
        """Hot knob -> new value."""

    @property
    def why(self) -> str:
        """For people."""


def adopt(
    folder: Path, takeover: Takeover, *, check: Check | None = None, load: Callable[..., Splits] = load_splits
) -> Event:
    """Let the run in `folder`, which nobody trains, go on from another run's state. The event, which is in its ledger.

    Position, weights, optimizer, averages, the memories of schedule and early stopping, the best values so far and
    the knobs are the other's, the knobs in `changes` new; plan, seed and with it data order and randomness from there
    on stay the run's own. The rows so far are abandoned and the other's stand in their place, so that curve and best
    values are those of the model that goes on. What was done already is not done again: a process that was killed in
    here calls it again. The caller holds the run's lease, or is about to take it.

    check: tells whether the changed config is one.   load: gives a plan's data, as `assembly.load_splits`.
    Raises UserError where the two plans differ in more than knobs, or a file cannot be read.
    """
    event = _in_ledger(folder, takeover.file)
    if event is None:
        event = _take(_Meeting(folder, takeover, load, check))
    _finish(folder, takeover.file, event)
    return event


def _in_ledger(folder: Path, file: str) -> Event | None:
    events = ledger.read_ledger(folder).events
    return next((event for event in events if is_adoption(event) and event.get("file") == file), None)


@dataclass
class _Meeting:
    """Both runs: this one's folder and plan, and the other's, with the state that it gives."""

    folder: Path
    takeover: Takeover
    load: Callable[..., Splits]
    check: Check | None
    plan: RunPlan = field(init=False)
    other: RunPlan = field(init=False)
    state: State = field(init=False)
    events: tuple[Event, ...] = field(init=False)
    line: Line = field(init=False)
    """What is in force in the state, of the other's ledger."""

    def __post_init__(self) -> None:
        self.state = checkpoints.load(self.folder / self.takeover.file)
        self.plan, self.other = _plan_of(self.folder), _plan_of(self.source)
        self.events = _events_of(self.source)
        known = {event["id"]: event for event in self.events if event.get("id")}
        self.line = Line(tuple(known[name] for name in self.state["line"] if name in known))
        _check_alike(self.plan, self.other, name=self.source.name, place=self.folder)

    @property
    def source(self) -> Path:
        return Path(self.takeover.source)

    @property
    def position(self) -> Position:
        return Position(**self.state["position"])


def _plan_of(folder: Path) -> RunPlan:
    try:
        return plan_from_dict(read_plan(folder))
    except (DamagedError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"{folder}: its plan cannot be read ({error}); restore it") from error


def _events_of(folder: Path) -> tuple[Event, ...]:
    try:
        return ledger.read_ledger(folder).events
    except OSError as error:
        raise UserError(f"{folder}: its ledger cannot be read ({error.strerror}); restore it") from error


def _check_alike(plan: RunPlan, other: RunPlan, *, name: str, place: Path) -> None:
    """Two runs may differ in what can be nudged, and in their seed. Raises UserError naming all that differs."""
    here, there = _cold(plan), _cold(other)
    unlike = [key for key in dict.fromkeys([*here, *there]) if here.get(key) != there.get(key)]
    if unlike:
        listed = ", ".join(f"{key} ({there.get(key)} there, {here.get(key)} here)" for key in unlike[:4])
        rule = f"cannot take over the state of {name}: {listed}"
        raise UserError(f"{place}: {rule}; exploit needs runs that differ in knobs alone (hpo-run nudge --help)")


_MACHINE = ("trainer.accelerator", "trainer.threads", "data.placement", "data.num_workers")


def _cold(plan: RunPlan) -> dict[str, Any]:
    """Option of each group, and every key that cannot be nudged."""
    choices = {group: option for group, option in plan.choices.items() if group not in (*SETTING_FREE, "schedule")}
    learnt = {key: value for key, value in plan.config.items() if key not in (*SETTING_FREE, "seed")}
    keys = {key: value for key, value in flatten(learnt).items() if not _may_differ(key)}
    return {**{group: choices[group] for group in choices if group not in ("experiment", "trainer")}, **keys}


def _may_differ(key: str) -> bool:
    hot = is_hot(canonical(key)) or key.startswith(("loss.terms", "schedule._"))
    return hot or key in (*_MACHINE, "trainer.log_every_steps", "trainer.log_gradients")


def _take(meeting: _Meeting) -> Event:
    """The state and its line in the ledger first, then the event, which is what makes them count."""
    folder, state, name = meeting.folder, meeting.state, new_id()
    came_from = _last_step(folder)
    before = current_setting(folder)
    system, changed = _changed_system(meeting)
    planned, live = planned_knobs(meeting.plan, system), read_knobs(system)
    knobs = {
        key: {"old": value_of(*before, key), "new": live[key]} for key in live if live[key] != planned[key]
    }  # fmt: skip
    size = _replace_rows(meeting)
    whole = {
        **state,
        **system_state(system),
        "carried": state["carried"],
        "plan_id": meeting.plan.plan_id,
        "line": [name],
        "recorded_bytes": {"ledger": (folder / LEDGER).stat().st_size, "metrics": size},
    }
    file = checkpoints.free_last_name(folder / CHECKPOINTS, meeting.position.step)
    digest = checkpoints.save(folder / CHECKPOINTS / file, whole)
    noted = {"file": f"{CHECKPOINTS}/{file}", "sha256": digest, "epoch": meeting.position.epoch, "line": [name]}
    ledger.append(folder, "checkpointed", step=meeting.position.step, **noted)
    return ledger.append(
        folder, "rolled_back", step=came_from, id=name, to=meeting.position.step, line=[], file=meeting.takeover.file,
        knobs=knobs, adopted=_adopted(meeting, changed), done=_done(meeting), who=WHO, why=meeting.takeover.why,
    )  # fmt: skip


def _last_step(folder: Path) -> int:
    """Where the run was."""
    rows = living_rows((folder / METRICS).read_bytes()) if (folder / METRICS).exists() else []
    step = ledger.fold(ledger.read_ledger(folder).events).step
    return max(step, *(count(row["step"]) or 0 for row in rows[-1:]), 0)


def _changed_system(meeting: _Meeting) -> tuple[System, dict[str, Mapping[str, Any]]]:
    """The other's state live in a system of this run's plan, with the changes; and what they changed, as it lives."""
    plan = meeting.plan
    splits = meeting.load(plan.data, allow=plan.allow_targets)
    system = resumable_system(plan, splits.spec)
    for module in (system.model, system.criterion):
        module.to(dtype_of(plan))
    own = meeting.state["carried"]
    restore_system(system, {**meeting.state, "carried": own[0] if isinstance(own, list) else own})
    before = read_knobs(system)
    set_knobs(system, _new_values(meeting, system, splits))
    after = read_knobs(system)
    return system, {key: {"old": before[key], "new": after[key]} for key in after if after[key] != before.get(key)}


def _new_values(meeting: _Meeting, system: System, splits: Splits) -> dict[str, Any]:
    """The changes as values of knobs, checked. Raises ConfigError naming every problem."""
    changes = meeting.takeover.changes
    if not changes:
        return {}
    live: Event = {"knobs": {key: {"new": value} for key, value in read_knobs(system).items()}}
    setting = settled(meeting.plan.config, meeting.plan.choices, Line((live,)))
    after = revised(*setting, {key: ["=", value] for key, value in changes.items()}, run=meeting.folder.name)
    make = meeting.check or make_plan
    check_change(make(after.config, choices=after.choices), system, splits=splits, position=meeting.position)
    keys = dict.fromkeys(map(knob_of, changes))
    if missing := [key for key in keys if key not in live["knobs"]]:
        raise ConfigError(missing[0], rule="this run has no place for it, so it would change nothing")
    return {key: value_of(*after, key) for key in keys}


def _adopted(meeting: _Meeting, changed: Mapping[str, Any]) -> dict[str, Any]:
    """What the event says of the other run, so that its folder need not be asked again."""
    other, plan = meeting.other, meeting.plan
    begun = beginning(other.config, other.choices, meeting.line)
    first, *later = lineage(meeting.line)
    return {
        "run": meeting.source.name,
        "path": str(meeting.source.resolve()),
        "plan_id": other.plan_id,
        "step": meeting.position.step,
        "seed": other.seed,
        "changes": dict(changed),
        "history": [{**first, "knobs": seen_from(plan.config, plan.choices, begun)}, *later],
    }


def _done(meeting: _Meeting) -> list[str]:
    """What was planned and lies behind that state, or was taken back: it must not happen once more."""
    found = {str(event["scheduled"]) for event in meeting.line.chain if event.get("scheduled")}
    found |= {name for event in meeting.line.chain if is_adoption(event) for name in words(event.get("done"))}
    found |= {str(event.get("scheduled")) for event in meeting.events if event["event"] == "cancelled"}
    return sorted(name for name in found if name.startswith("planned-"))


def _replace_rows(meeting: _Meeting) -> int:
    """The other's rows up to its state in place of this run's own, by a marker. How long the file is then."""
    recorded = count(mapping(meeting.state.get("recorded_bytes")).get("metrics"))
    try:
        content = (meeting.source / METRICS).read_bytes()
    except OSError as error:
        raise UserError(f"{meeting.source}: its metrics cannot be read ({error.strerror}); restore them") from error
    rows = [row for row in living_rows(content[:recorded]) if row["step"] <= meeting.position.step]
    path = meeting.folder / METRICS
    with MetricsWriter(path) as writer:
        if path.exists() and living_rows(path.read_bytes()) == rows:  # a process before was killed after this
            return writer.size
        writer.abandon(after=-1)
        for row in rows:
            writer.append(row)
        return writer.size


def _finish(folder: Path, file: str, event: Event) -> None:
    """Put by what the past left, and take the other's best weights; the link to its state has done its work."""
    line = living_line(ledger.read_ledger(folder).events)
    if event["id"] in line.ids[-1:]:
        retire_end(folder, step=event["step"])
        keep = _plan_of(folder).checkpoint.keep_abandoned
        checkpoints.move_abandoned(folder, line, keep=keep)
        _take_best(folder, file, event)
    (folder / file).unlink(missing_ok=True)


def _take_best(folder: Path, file: str, event: Event) -> None:
    home, stem = folder / CHECKPOINTS, Path(file).stem
    for link in sorted(home.glob(f"{stem}{BEST}*.pt")):
        step = int(link.stem.rpartition(BEST)[2])
        path = home / checkpoints.best_name(step)
        if not path.exists():
            digest = checkpoints.file_sha256(link)
            noted = {"file": f"{CHECKPOINTS}/{path.name}", "sha256": digest, "line": [event["id"]]}
            ledger.append(folder, "checkpointed", step=step, **noted)
            link.replace(path)
            sync_folder(home)
        link.unlink(missing_ok=True)
