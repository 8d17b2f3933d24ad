"""`hpo-run resume=RUN [changes]`: a run goes on in its own folder, from its newest state, to the same bits."""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpo_cli.errors import ConfigError, UserError
from hpo_cli.plan import RunPlan
from hpo_cli.record import ledger
from hpo_cli.record.contents import Values, count, mapping
from hpo_cli.record.folder import RESULT, check_name
from hpo_cli.record.lease import Heartbeat, Lease
from hpo_cli.record.ledger import Event
from hpo_cli.record.line import force_step
from hpo_cli.record.runs import find_run
from hpo_cli.steer.changes import revised
from hpo_cli.steer.commands import who_am_i
from hpo_cli.steer.current import current_setting
from hpo_cli.steer.hot import canonical
from hpo_cli.steer.shapes import new_id
from hpo_cli.validate import plan_from_config
from hpo_cli.verbs.arguments import OUTPUTS_VARIABLE
from hpo_cli.verbs.composing import ComposeWords
from hpo_cli.verbs.trusting import check_started_with, trusted_plan

if TYPE_CHECKING:
    from hpo_cli.engine.progress import Reporter
    from hpo_cli.engine.stop import StopFlag
    from hpo_cli.engine.train import Training

Check = Callable[..., RunPlan]

_YES = ("true", "yes", "on", "1")
_NO = ("false", "no", "off", "0")


def going_on(argv: Sequence[str], words: ComposeWords, *, allow: Sequence[str]) -> int:
    """Do what the words `resume=`, `branch=` and `watch=` among the overrides ask for; the exit code."""
    asked = {key: value for key, value in map(_split, words.overrides) if key in ("resume", "branch", "watch")}
    rest = tuple(word for word in words.overrides if _split(word)[0] not in asked)
    ref = asked.get("resume")
    if ref == "":
        raise ConfigError("resume", rule="needs a run", fix="give an id, a path or last: hpo-run ls")
    if _is_yes("watch", asked):
        return _watched([word for word in argv if _split(word)[0] != "watch"], words, ref)
    if ref is None:
        if "branch" in asked:
            raise ConfigError("branch", asked["branch"], rule="needs the run that is branched", fix="add resume=RUN")
        from hpo_cli.verbs import train

        return train.main([word for word in argv if _split(word)[0] != "watch"])
    if _is_yes("branch", asked):
        from hpo_cli.verbs import branch

        return branch.main([ref, *(f"--allow={name}" for name in allow), *rest])
    return _resume(find_run(ref, _outputs(rest)), [word for word in rest if _split(word)[0] != "outputs"], allow)


def _split(word: str) -> tuple[str, str]:
    key, _, value = word.partition("=")
    return key, value


def _is_yes(key: str, asked: Mapping[str, str]) -> bool:
    value = asked.get(key, "false").lower()
    if value not in (*_YES, *_NO):
        raise ConfigError(key, asked[key], rule="must be true or false")
    return value in _YES


def _outputs(words: Sequence[str]) -> str:
    given = [value for key, value in map(_split, words) if key == "outputs"]
    return given[-1] if given else os.environ.get(OUTPUTS_VARIABLE) or "outputs"


def _watched(argv: list[str], words: ComposeWords, ref: str | None) -> int:
    from hpo_cli.verbs.composing import composed
    from hpo_cli.verbs.watch_started import watch_started

    if ref is not None:
        return watch_started(argv, find_run(ref, _outputs(words.overrides)))
    kept = tuple(word for word in words.overrides if _split(word)[0] != "watch")
    found = composed(ComposeWords(kept, words.config_dir, words.config_name))
    given = found.composition.run_dir
    if given is not None:
        return watch_started(argv, Path(given))
    folder = Path(found.plan.outputs) / check_name(found.plan.name) / secrets.token_hex(3)
    return watch_started([*argv, f"hydra.run.dir={folder}"], folder)


def _resume(folder: Path, words: list[str], allow: Sequence[str]) -> int:
    from hpo_cli.verbs.train import new_stop

    stop = new_stop()
    plan = trusted_plan(folder, allow)
    events = _events(folder)
    started = mapping(ledger.fold(events).started)
    check_started_with(plan, started, folder=folder)
    config_dir = _config_dir(started)
    check = partial(plan_from_config, config_dir=config_dir)
    machine, changes = _told_apart(words, folder, plan, check)
    _check_open(folder, events, changes)
    with Lease.acquire(folder, on_wait=_say) as lease:
        return _go_on(folder, plan, Asked(machine, changes, check), stop=stop, lease=lease)


@dataclass(frozen=True)
class Asked:
    """What the words of a resumption ask for. check: tells whether a config is one."""

    machine: Mapping[str, Any]
    changes: Mapping[str, Any]
    check: Check


def _go_on(folder: Path, plan: RunPlan, asked: Asked, *, stop: StopFlag, lease: Lease) -> int:
    from hpo_cli.console.training import announce, training_reporter
    from hpo_cli.verbs.train import train_to_end

    with training_reporter(plan) as reporter:
        with Heartbeat(lease, _starting):  # imports and data can take longer than a lease lives
            training = _prepared(folder, plan, asked, reporter=reporter, stop=stop)
        reporter.close()
        if training.course.state is None and training.course.step < ledger.fold(_events(folder)).step:
            why = "a sweep gives them up, see sweep.keep_best"
            _say(
                f"{folder.name}: no checkpoint is left ({why}): it is trained again from the start, to the same values"
            )
        for text in training.warnings:
            _say(f"{folder.name}: {text}; going on from step {training.course.step}")
        announce(plan, folder, training.summary, started_from=training.started_from)
        return train_to_end(training, folder, lease=lease)


def _starting() -> Mapping[str, object]:
    return {"status": "starting"}


def _prepared(folder: Path, plan: RunPlan, asked: Asked, *, reporter: Reporter, stop: StopFlag) -> Training:
    """Ready to train on; what was asked for is in the ledger."""
    from hpo_cli.engine.course import with_machine
    from hpo_cli.engine.train import Training

    now = with_machine(plan, [*_events(folder), {"event": "resumed", "machine": dict(asked.machine)}])
    training = Training(now, reporter=reporter, stop=stop, check=asked.check, folder=folder)
    training.machine = asked.machine
    if asked.changes:
        setting = revised(*current_setting(folder), asked.changes, run=folder.name)
        training.check_changes(asked.check(setting.config, choices=setting.choices))
        _note_changes(folder, asked.changes, step=_boundary(training, _events(folder)))
        training.take_note(folder)
    return training


def _boundary(training: Training, events: Sequence[Event]) -> int:
    """Where training goes on, with every nudge and rollback in force; the newest checkpoint may be damaged.

    A run that had finished goes on at its end: what lies between an older checkpoint and there is trained again.
    """
    course, ended = training.course, mapping(ledger.fold(events).ended)
    end = count(ended.get("step")) or 0 if ended.get("event") == "finished" else 0
    return max([course.step, end, *map(force_step, course.line.chain)])


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")


def _events(folder: Path) -> tuple[Event, ...]:
    try:
        return ledger.read_ledger(folder).events
    except OSError as error:
        raise UserError(f"{folder}: its ledger cannot be read ({error.strerror}); restore it") from error


def _config_dir(started: Values) -> Path | None:
    from hpo_cli.verbs.inheriting import own_words

    return own_words(started).config_dir


def _told_apart(
    words: Sequence[str], folder: Path, plan: RunPlan, check: Check
) -> tuple[dict[str, Any], dict[str, list[Any]]]:
    """Words for the machine, and changes of knobs. Raises ConfigError for all others."""
    from hpo_cli.engine.course import MACHINE
    from hpo_cli.verbs.nudging import checked_changes

    machine = [word for word in words if _split(word)[0] in MACHINE]
    others = [word for word in words if word not in machine]
    changes = checked_changes(folder, others, ref=folder.name) if others else {}
    return _machine_values(machine, plan, check), changes


def _machine_values(words: Sequence[str], plan: RunPlan, check: Check) -> dict[str, Any]:
    if not words:
        return {}
    from hpo_cli.compose import parsed_value

    values = {key: parsed_value(key, value) for key, value in map(_split, words)}
    config = {key: dict(value) if isinstance(value, Mapping) else value for key, value in plan.config.items()}
    for key, value in values.items():
        group, _, name = key.partition(".")
        config[group][name] = value
    check(config, choices=plan.choices)
    return values


_LONGER = {"epochs", "trainer.max_steps", "regularization.early_stopping"}
"""Knobs that can make a finished run go on."""


def _check_open(folder: Path, events: Sequence[Event], changes: Mapping[str, Any]) -> None:
    """A run that has finished goes on only when it is made longer. Raises UserError."""
    ended = mapping(ledger.fold(events).ended)
    if not (folder / RESULT).exists():  # it was killed in between
        return
    if ended.get("event") != "finished" or _LONGER & {canonical(key) for key in changes}:
        return
    early = ended.get("stopped_early")
    longer = "regularization.early_stopping=null" if early else "epochs+=10"
    rule = f"finished at step {ended.get('step')}{f' ({early})' if early else ''}"
    raise UserError(
        f"{folder.name}: {rule}; make it longer: hpo-run resume={folder.name} {longer}, "
        f"or begin a child: hpo-run branch {folder.name}"
    )


def _note_changes(folder: Path, changes: Mapping[str, Any], *, step: int) -> None:
    """Put the changes into the ledger, to take force after this step."""
    ledger.append(
        folder, "scheduled", step=step, id=new_id(), due={"step": step},
        do="nudge", changes=dict(changes), who=who_am_i(), why="on resume",
    )  # fmt: skip
