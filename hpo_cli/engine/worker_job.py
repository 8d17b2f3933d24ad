"""One run, trained as a task says, whatever of it is there already: done, half done, half made, or nothing."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from hpo_cli.engine.assembly import load_splits
from hpo_cli.engine.course import with_machine
from hpo_cli.engine.orders import LostError
from hpo_cli.engine.progress import SilentReporter
from hpo_cli.engine.run import explained, run
from hpo_cli.engine.stop import StopFlag, StoppedError
from hpo_cli.engine.train import LoadSplits, Training
from hpo_cli.engine.worker_causes import failure
from hpo_cli.engine.worker_task import Done, Task
from hpo_cli.errors import UserError
from hpo_cli.plan import RunPlan, plan_from_dict, plan_id
from hpo_cli.record import ledger
from hpo_cli.record.atomic import free_name, write_text
from hpo_cli.record.contents import DamagedError, count, mapping, read_result, text
from hpo_cli.record.endings import retire_end
from hpo_cli.record.folder import ERROR, LEDGER
from hpo_cli.record.lease import Heartbeat, Lease
from hpo_cli.record.lease_file import read_lease
from hpo_cli.record.line import living_line
from hpo_cli.record.start import start_run
from hpo_cli.steer.shapes import new_id

WHO = "sweep"
"""Who has ordered a stop at a rung, in ledgers."""

LEASE_WAIT_S = 60.0
"""How long a process that still saves the same run, of a sweep that was killed, is waited for."""

_POLL_S = 0.1


def do(
    task: Task,
    *,
    stop: StopFlag,
    check: Callable[..., RunPlan] | None = None,
    load: LoadSplits = load_splits,
    ready: Callable[[Path], object] = lambda _: None,
) -> Done:
    """Train the run of a task as far as it is to go. Raises nothing for what the run does.

    check: hpo_cli.validate.plan_from_config.   load: gives the data.   ready: is told the folder, once there is one.
    """
    try:
        return _done(task, stop, check, load, ready)
    except StoppedError as error:
        return Done("interrupted", str(error), "asked")
    except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever a user's code raises
        return failure(error)


def _done(
    task: Task, stop: StopFlag, check: Callable[..., RunPlan] | None, load: LoadSplits, ready: Callable[[Path], object]
) -> Done:
    _raise_if_asked(stop)
    set_half_made_aside(task.folder)
    is_new = not task.folder.exists()
    if is_new:
        _make(task)
    ready(task.folder)
    if not is_new and (known := _known_end(task)) is not None:
        return known
    lease = _acquired(task.folder, stop)
    try:
        training = _prepared(task, lease, stop=stop, check=check, load=load)
        _raise_if_asked(stop)
    except BaseException as error:
        if isinstance(error, Exception) and not isinstance(error, StoppedError | LostError):
            _note_failure(task.folder, error)
        lease.release()
        raise
    outcome = run(training, task.folder, lease=lease)
    if outcome.status == "stopped":
        return Done("stopped", _why(training))
    return Done("finished")


def _raise_if_asked(stop: StopFlag) -> None:
    if stop.signum is not None:
        raise StoppedError(stop.signum)


# the folder ----------------------------------------------------------------------------------------------------------


def set_half_made_aside(folder: Path) -> None:
    """Rename a folder whose maker was killed before the ledger had its first line: `<name>-half`, `<name>-half-2`."""
    if folder.exists() and not _is_started(folder):
        folder.rename(free_name(folder.with_name(f"{folder.name}-half")))


def _is_started(folder: Path) -> bool:
    try:
        content = (folder / LEDGER).read_bytes()
    except OSError:
        return False
    return ledger.fold(ledger.decode_ledger(content).events).started is not None


def _make(task: Task) -> None:
    if task.parent is not None:
        from hpo_cli.engine.birth import begin_branch

        begin_branch(task)
        return
    begin = task.begin
    start_run(
        plan_from_dict(task.plan),
        command=begin.get("command", ()),
        overrides=begin.get("overrides", ()),
        hydra_files=begin.get("hydra_files", {}),
        at=str(task.folder),
    )


def _known_end(task: Task) -> Done | None:
    """How the run ended, when there is nothing left of the task to do."""
    if task.adopt is not None:
        return None
    ended = mapping(ledger.fold(ledger.read_ledger(task.folder).events).ended)
    try:
        result = read_result(str(task.folder))
    except DamagedError:
        return None
    if result is None or not ended:  # it was killed in between: going on tells
        return None
    if ended["event"] == "finished":
        return Done("finished")
    reached = count(result.get("epochs")) or 0
    is_there = task.until is not None and reached >= task.until and ended["event"] == "stopped"
    return Done("stopped", _why_by(ended)) if is_there else None


def _acquired(folder: Path, stop: StopFlag) -> Lease:
    """The right to train there; a process that lives is given time to save and end."""
    until = time.monotonic() + LEASE_WAIT_S
    while True:
        _raise_if_asked(stop)
        try:
            return Lease.acquire(folder)
        except UserError:
            held = read_lease(folder)
            if time.monotonic() > until or held is None or held.standing == "unknown":
                raise
        time.sleep(_POLL_S)


# the course ----------------------------------------------------------------------------------------------------------


def _prepared(
    task: Task, lease: Lease, *, stop: StopFlag, check: Callable[..., RunPlan] | None, load: LoadSplits
) -> Training:
    checked = None if check is None else partial(check, config_dir=_path(task.config_dir))
    with Heartbeat(lease, lambda: {"status": "starting"}):
        plan = _plan(task)
        state = ledger.fold(ledger.read_ledger(task.folder).events)
        if state.data is None:  # an attempt that could not even begin
            retire_end(task.folder, step=state.step)
        if task.adopt is not None:
            from hpo_cli.engine.adoption import adopt

            adopt(task.folder, task.adopt, check=checked, load=load)
        order_stop(task.folder, _stop_at(task, plan))
        return Training(
            with_machine(plan, ledger.read_ledger(task.folder).events),
            reporter=SilentReporter(),
            stop=stop,
            check=checked,
            folder=task.folder,
            cores=task.cores,
            load=load,
        )


def _plan(task: Task) -> RunPlan:
    """The plan by which the run was started. Raises UserError when the task has another one."""
    plan = plan_from_dict(task.plan)
    then = text(mapping(ledger.fold(ledger.read_ledger(task.folder).events).started).get("plan_id"))
    now = plan_id(plan.config)
    if then and then != now:
        rule = f"was started with the plan {then}, the sweep has {now} for it"
        raise UserError(f"{task.folder}: {rule}; move the folder away, or restore the sweep's options")
    return plan


def _stop_at(task: Task, plan: RunPlan) -> int | None:
    """The epoch of the rung; None when the run ends by itself no later."""
    return task.until if task.until is not None and task.until < plan.epochs else None


def order_stop(folder: Path, epoch: int | None) -> None:
    """Let a run that nobody trains now stop after so many epochs (None: not), whatever was ordered before."""
    events = ledger.read_ledger(folder).events
    step, due = ledger.fold(events).step, {"epoch": epoch}
    standing = [
        order for order in living_line(events).standing if order.get("who") == WHO and order.get("do") == "stop"
    ]
    for order in standing:
        if order.get("due") != due:
            ledger.append(folder, "cancelled", step=step, scheduled=order["id"], who=WHO, why="goes on")
    if epoch is not None and all(order.get("due") != due for order in standing):
        ledger.append(
            folder, "scheduled", step=step, id=new_id(), due=due, do="stop", changes={}, who=WHO,
            why=f"rung of {epoch} epoch{'s' if epoch > 1 else ''}",
        )  # fmt: skip


def _path(name: str | None) -> Path | None:
    return None if name is None else Path(name)


# the end -------------------------------------------------------------------------------------------------------------


def _why(training: Training) -> str:
    return _why_by(training.ended or {})


def _why_by(ended: Any) -> str:
    """Empty for a rung: that is as it should be."""
    who, why = ended.get("who"), ended.get("why")
    return "" if who in (None, "", WHO) else f"stopped by {who}{f': {why}' if why else ''}"


def _note_failure(folder: Path, error: Exception) -> None:
    """A run that could not even begin says so, like one that failed later."""
    with suppress(OSError):
        write_text(folder / ERROR, "".join(traceback.format_exception(error)))
        step = ledger.fold(ledger.read_ledger(folder).events).step
        ledger.append(folder, "failed", step=step, reason=str(explained(error)))
