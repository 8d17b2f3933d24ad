"""Where to go back to: `step=1200`, `epoch=3`, `tag=good`, `best` or `-500`, and the step that this is."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from hpo_cli.errors import UserError, did_you_mean
from hpo_cli.record.contents import count, words
from hpo_cli.record.ledger import Event
from hpo_cli.record.line import Line, is_adoption
from hpo_cli.record.metrics import best_row
from hpo_cli.steer.shapes import TAG

TARGET_HELP = "step=N, epoch=N, tag=NAME, best, or -N for N steps back"
_SHOWN_TAGS = 12

Target = Mapping[str, Any]
"""One of {"step": n}, {"epoch": n}, {"tag": name}, {"best": true}, {"back": n}, as commands have it."""


class Aim(Protocol):
    """What a run is judged by."""

    @property
    def name(self) -> str:
        """The metric."""

    @property
    def mode(self) -> str:
        """Which value is better: min or max."""


@dataclass(frozen=True)
class Goal:
    """A step boundary of a run's past. line_ids: the events of the chain that are in force there.

    file: the checkpoint that was asked for by its tag; None: any one on the line will do.
    """

    step: int
    line_ids: tuple[str, ...]
    file: str | None = None


def parse_target(word: str) -> dict[str, Any]:
    """What a person typed, as commands have it; `last` is {"back": 0}. Raises UserError."""
    if word == "best":
        return {"best": True}
    if word == "last":
        return {"back": 0}
    if re.fullmatch(r"-[0-9]{1,18}", word):
        return {"back": int(word[1:])}
    kind, _, value = word.partition("=")
    if kind == "tag" and TAG.fullmatch(value):
        return {"tag": value}
    if kind in ("step", "epoch") and re.fullmatch(r"[0-9]{1,18}", value):
        return {kind: int(value)}
    raise UserError(f"{word}: no place in a run's past; write {TARGET_HELP}{_meant(word, kind)}")


def parse_due(word: str) -> dict[str, Any]:
    """When something is to happen: `step=2000`, `epoch=5` or `progress=0.5`. Raises UserError."""
    kind, _, value = word.partition("=")
    if kind in ("step", "epoch") and re.fullmatch(r"[0-9]{1,18}", value):
        return {kind: int(value)}
    if kind == "progress" and re.fullmatch(r"0?\.[0-9]{1,17}|[01](\.0*)?", value):
        return {kind: float(value)}
    near = f"; did you mean step={word}?" if word.isdecimal() else ""
    raise UserError(f"{word}: no moment of a run; write step=N, epoch=N or progress=0.5{near}")


def resolve_target(
    to: Target,
    *,
    line: Line,
    rows: Sequence[Mapping[str, Any]],
    position_step: int,
    objective: Aim | None,
    start_step: int = 0,
) -> Goal:
    """The goal that `to` names. What took force at its boundary or later is undone there.

    rows: the living metrics; position_step: where the run is; start_step: where it began, for a branch.
    Raises UserError for a place that the run does not have.
    """
    ((kind, value),) = to.items()
    if kind == "tag":
        goal = _tagged(value, line)
        _check(goal.step, f"tag={value}", position_step=None, start_step=start_step)
        return goal
    step = _STEPS[kind](value, rows, position_step, objective)
    _check(step, _shown(kind, value), position_step=position_step, start_step=start_step)
    _check_own(step, _shown(kind, value), line)
    return Goal(step, line.before(step))


def tags(line: Line) -> dict[str, Event]:
    """The kept checkpoints by tag, on whichever line they lie; of two with one tag the newer."""
    events = sorted((*line.checkpoints, *line.abandoned), key=lambda event: str(event.get("at", "")))
    return {event["tag"]: event for event in events if isinstance(event.get("tag"), str) and event.get("file")}


def check_tag(to: Target, line: Line) -> None:
    """Raises UserError where `to` is a tag that the run does not have."""
    if "tag" in to:
        _tagged(to["tag"], line)


def _tagged(name: str, line: Line) -> Goal:
    known = tags(line)
    if name not in known:
        listed = ", ".join(list(known)[-_SHOWN_TAGS:])
        near = did_you_mean(name, known) or "`hpo-run checkpoint RUN --tag NAME` makes one"
        raise UserError(f"tag={name}: {f'the tags are {listed}' if known else 'the run has no tags'}; {near}")
    event = known[name]
    return Goal(count(event.get("step")) or 0, words(event.get("line")), str(event["file"]))


def _check(step: int, asked: str, *, position_step: int | None, start_step: int) -> None:
    if position_step is not None and step > position_step:
        raise UserError(f"{asked}: lies ahead, the run is at step {position_step}; give an earlier place")
    if step < start_step:
        began = f"is a branch that began at step {start_step}" if start_step else "began at step 0"
        fix = "go back in its parent, or give a later place" if start_step else "give a later place"
        raise UserError(f"{asked}: the run {began}; {fix}")


def _check_own(step: int, asked: str, line: Line) -> None:
    """Raise UserError for a place behind the state that the run took over from another one."""
    if step < line.floor_step:
        source = next(event["adopted"].get("run") for event in line.chain if is_adoption(event))
        fix = f"give a later place, or branch {source}"
        raise UserError(f"{asked}: the run took over the state of {source} at step {line.floor_step}; {fix}")


def _of_epoch(epoch: int, rows: Sequence[Mapping[str, Any]], *_: object) -> int:
    if epoch == 0:
        return 0
    found = {row["epoch"]: row["step"] for row in rows if _is_validation(row)}
    if epoch in found:
        return int(found[epoch])
    last = max(found, default=0)
    raise UserError(
        f"epoch={epoch}: {f'the last whole epoch is {last}' if last else 'no epoch is over yet'}; give an earlier place"
    )


def _is_validation(row: Mapping[str, Any]) -> bool:
    return count(row.get("epoch")) is not None and any(name.startswith("val/") for name in row)


def _of_best(_: object, rows: Sequence[Mapping[str, Any]], position: int, objective: Aim | None) -> int:  # noqa: ARG001
    best = best_row([dict(row) for row in rows], objective.name, mode=objective.mode) if objective else {}
    step = count(best.get("step"))
    if step is None:
        name = objective.name if objective else "the objective"
        raise UserError(f"best: no validation of {name} yet; give a step, or wait for one")
    return step


_STEPS: dict[str, Any] = {
    "step": lambda step, *_: step,
    "epoch": _of_epoch,
    "best": _of_best,
    "back": lambda steps, _, position, __: position - steps,
}
"""Kind of target -> its step, from (value, rows, position_step, objective)."""


def _shown(kind: str, value: object) -> str:
    if kind == "best":
        return kind
    return f"-{value}" if kind == "back" else f"{kind}={value}"


def _meant(word: str, kind: str) -> str:
    if word.isdecimal():
        return f"; did you mean step={word}?"
    near = did_you_mean(kind, ["step", "epoch", "tag", "best"])
    return f"; {near}" if near and "=" not in word else ""
