"""One run from its first step to its result: trains, and leaves a record of how it ended, whatever happens."""

from __future__ import annotations

import logging
import os
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from functools import partial
from pathlib import Path
from typing import Any

import torch

from hpo_cli.engine import checkpoints
from hpo_cli.engine.orders import LostError
from hpo_cli.engine.patience import NoRoomError, append, is_full
from hpo_cli.engine.progress import Outcome
from hpo_cli.engine.ranks import started_ranks
from hpo_cli.engine.stop import StoppedError
from hpo_cli.engine.train import Training
from hpo_cli.errors import RunFailedError, UserError
from hpo_cli.plan import RunPlan
from hpo_cli.record import ledger
from hpo_cli.record.atomic import write_json, write_text
from hpo_cli.record.contents import ENDED
from hpo_cli.record.endings import retire_end
from hpo_cli.record.folder import ERROR, LOG, RESULT
from hpo_cli.record.lease import Heartbeat, Lease
from hpo_cli.record.metrics import number
from hpo_cli.record.start import environment

BEAT_S = 2.0
"""How often whoever looks on hears where training is."""


def run(training: Training, folder: Path, *, lease: Lease | None = None) -> Outcome:
    """Train in `folder`, which `record.start` made, from where its ledger says; write result.json.

    lease: the right to train there, when the caller has it already; it is released at the end.
    Raises RunFailedError when training fails, StoppedError after a signal; in both the record is complete first.
    """
    lease = lease or Lease.acquire(folder)
    try:
        with Heartbeat(lease, partial(_pulse, training), interval_s=BEAT_S):
            return _run(training, folder, lease)
    finally:
        lease.release()


def _run(training: Training, folder: Path, lease: Lease) -> Outcome:
    world = training.plan.trainer.devices
    if lease.look():
        raise LostError(folder)
    try:
        _begin(training, folder)
        others = (
            started_ranks(folder, world, on_loss=_recorder_of_loss(training, folder)) if world > 1 else nullcontext()
        )
        with _logged(folder), others as ranks:
            training.run(folder, ranks=ranks, is_lost=lambda: lease.lost)
        if training.ended is not None:
            return _end(training, folder, "stopped", **training.ended)
        return _end(training, folder, "finished", **training.early_stop)
    except LostError:
        raise
    except (StoppedError, KeyboardInterrupt) as stop:
        name = str(stop) or "SIGINT"
        with suppress(NoRoomError):  # what was saved before tells enough
            _end(training, folder, "interrupted", signal=name)
        raise
    except Exception as error:
        signum = training.signum
        if signum and (isinstance(error, NoRoomError) or is_full(error)):  # asked to stop while it waited for room
            with suppress(NoRoomError):
                _end(training, folder, "interrupted", signal=str(StoppedError(signum)))
            raise StoppedError(signum) from error
        failure = explained(error)
        with suppress(OSError):  # a full disk must not hide the reason
            write_text(folder / ERROR, "".join(traceback.format_exception(error)))
        with suppress(OSError, NoRoomError):
            _end(training, folder, "failed", reason=str(failure))
        raise failure from error


def _begin(training: Training, folder: Path) -> None:
    """Note the data of a new run, or that an old one goes on."""
    events = ledger.read_ledger(folder).events
    state = ledger.fold(events)
    if state.data is None:
        training.record_data(folder)
        return
    training.seconds_before = sum(number(event.get("seconds")) or 0.0 for event in events if event["event"] in ENDED)
    retire_end(folder, step=state.step)
    checkpoints.sweep(folder, training.course.line)
    checkpoints.move_abandoned(folder, training.course.line, keep=training.plan.checkpoint.keep_abandoned)
    for text in training.warnings:
        append(folder, "warned", step=training.course.step, patience=training.patience, what=text)
    append(
        folder, "resumed", step=training.course.step, patience=training.patience, file=training.course.file,
        pid=os.getpid(), environment=environment(), machine=dict(training.machine),
    )  # fmt: skip


def _pulse(training: Training) -> Mapping[str, object]:
    """What the heartbeat tells."""
    loop = training.loop
    if loop is None:
        return {"status": "starting"}
    position, horizon = loop.position, loop.horizon
    return {
        "status": "paused" if training.is_paused else "running",
        "catching_up": training.catching_up,
        "step": position.step,
        "total": horizon.total_steps,
        "epoch": position.epoch,
        "epochs": horizon.epochs,
        "lr": loop.rate,
        "steps_per_second": training.speed(),
    }


def _recorder_of_loss(training: Training, folder: Path) -> Callable[[str], None]:
    def record(reason: str) -> None:
        sys.stderr.write(f"{reason}\nrun   {folder}\n")
        _end(training, folder, "failed", reason=reason)

    return record


_MEMORY_WORDS = ("can't allocate memory", "out of memory", "CUBLAS_STATUS_ALLOC_FAILED", "Cannot allocate memory")


def is_memory_error(error: BaseException) -> bool:
    """Whether there was too little memory, of whatever device."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError | OSError) and any(word in str(error) for word in _MEMORY_WORDS)


def explained(error: Exception) -> UserError:
    """The error in a user's words."""
    if isinstance(error, UserError):
        return error
    if is_memory_error(error):
        return RunFailedError(
            "out of memory: lower batch_size (batch.accumulate keeps the effective size) or the model"
        )
    if isinstance(error, OSError) and error.errno is not None:
        where = f" ({error.filename})" if error.filename else ""
        return RunFailedError(f"{error.strerror}{where}: what was saved before is intact; free space and start again")
    if "Connection closed by peer" in str(error):
        return RunFailedError("another process of the run ended: its last words are in rank-*.log in the run's folder")
    if "inline_container" in str(error):  # torch's words for a file that could not be written
        return RunFailedError("a checkpoint could not be written: what was saved before is intact; is the disk full?")
    line = str(error).splitlines()[0] if str(error) else ""
    return RunFailedError(f"training failed: {type(error).__name__}: {line}")


def _end(training: Training, folder: Path, status: str, **fields: str) -> Outcome:
    outcome = training.outcome(status)
    seconds = round(outcome.seconds - training.seconds_before, 3)
    patience = training.patience if status in ("finished", "stopped") else training.patience.last_words()
    append(folder, status, step=outcome.step, patience=patience, seconds=seconds, **fields)
    patience.run(partial(write_json, folder / RESULT, _result(outcome, training.plan)), where=folder / RESULT)
    return outcome


def _result(outcome: Outcome, plan: RunPlan) -> Mapping[str, Any]:
    best = outcome.best.get(plan.objective.name)
    return {
        "status": outcome.status,
        "objective": {
            "name": plan.objective.name,
            "mode": plan.objective.mode,
            "value": best.value if best else None,
            "step": best.step if best else None,
        },
        "metrics": dict(outcome.metrics),
        "best": {name: {"value": best.value, "step": best.step} for name, best in outcome.best.items()},
        "steps": outcome.step,
        "epochs": outcome.epoch,
        "seconds": round(outcome.seconds, 3),
        "weights_sha256": outcome.weights_sha256,
    }


@contextmanager
def _logged(folder: Path) -> Iterator[None]:
    """Everything that libraries log or warn of goes to run.log."""
    handler = logging.FileHandler(folder / LOG, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    logging.captureWarnings(True)  # noqa: FBT003 - the library's signature
    try:
        yield
    finally:
        logging.captureWarnings(False)  # noqa: FBT003
        root.removeHandler(handler)
        root.setLevel(level)
        handler.close()
