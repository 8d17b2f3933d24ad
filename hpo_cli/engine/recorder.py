"""Writes what the loop finds into the run's folder."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from hpo_cli.engine import checkpoints
from hpo_cli.engine.background import Background
from hpo_cli.engine.loggers import Mirror
from hpo_cli.engine.memory import available_bytes
from hpo_cli.engine.partners import Keep
from hpo_cli.engine.patience import Patience, append, is_full
from hpo_cli.errors import UserError
from hpo_cli.plan import CheckpointPlan
from hpo_cli.record.folder import CHECKPOINTS, LEDGER, METRICS
from hpo_cli.record.ledger import Event, read_ledger
from hpo_cli.record.links import refuse_link
from hpo_cli.record.metrics import MetricsWriter
from hpo_cli.steer.shapes import TAG

Row = Mapping[str, Any]
Value = TypeVar("Value")

KEEP_IN_MEMORY = 256 << 20
"""Best weights up to this size wait in memory for the next checkpoint; larger ones are written at once."""

COPY_SHARE = 0.25
"""A state that would take more than this share of the free memory is written while training waits, not copied."""


@dataclass(frozen=True)
class Save:
    """One file to write, and its line in the ledger."""

    name: str
    state: Mapping[str, Any]
    step: int
    fields: Mapping[str, object] = field(default_factory=dict)


class FolderRecorder:
    """Rows go to metrics.jsonl, checkpoints to `checkpoints/`, both with a line in the ledger where one is due.

    A checkpoint is copied in memory and written by a thread while training goes on. What goes wrong there is raised
    by the next call. The best weights are copied when they improve and written with the next checkpoint: a run that
    is killed in between goes on from an earlier checkpoint and finds them again. A full disk makes callers wait.

    mirror: gets each row that is new.   after: the step of the state that training goes on from; rows beyond it that
    an earlier process wrote are not written again.   since: that state's `recorded_bytes` of the metrics.
    guard: called before anything is written; what it raises, a RunFailedError, says that another process has taken
    the run over.   Raises UserError where a symbolic link would lead what is written out of the run's folder.
    """

    def __init__(
        self,
        folder: Path,
        plan: CheckpointPlan,
        *,
        mirror: Mirror | None = None,
        after: int | None = None,
        since: int | None = None,
        patience: Patience | None = None,
        guard: Callable[[], None] | None = None,
    ) -> None:
        refuse_link(folder / CHECKPOINTS)
        self._folder, self._plan, self._mirror = folder, plan, mirror
        self._patience, self._guard = patience or Patience(), guard or _unguarded
        self._metrics = self._open(after, since)
        self._best: dict[int, Save] = {}
        self._writing = Background()

    def row(self, row: Mapping[str, Any]) -> None:
        """See loop.Recorder."""
        self._writing.check()
        self._guard()
        size = self._metrics.size
        try:
            self._metrics.append(row)
        except OSError as error:  # the row is in the writer's buffer
            if not is_full(error):
                raise
            self.flush()
        if self._metrics.size == size:  # known from before
            return
        if self._mirror is not None or any(name.startswith("val/") for name in row):
            self.flush()
        if self._mirror is not None:
            self._copy(self._mirror, row)

    def flush(self) -> None:
        """Return when the rows so far can be read in their file."""
        self._patience.run(self._guarded(self._metrics.flush), where=self._folder / METRICS)

    def improved(self, step: int, state: Mapping[str, Any], *, line: Sequence[str] = ()) -> None:
        """See loop.Recorder. line: the ids of the steering events in force in these weights."""
        self._writing.check()
        if not self._plan.keep_best:
            return
        large = checkpoints.num_bytes(state) > KEEP_IN_MEMORY
        kept = dict(state) if large and self._too_large(state) else checkpoints.snapshot(dict(state))
        self._best[step] = Save(checkpoints.best_name(step), {**kept, "step": step}, step, {"line": list(line)})
        for old in sorted(self._best)[: -self._plan.keep_best]:
            del self._best[old]
        if large:
            self._hand_over(self._take_best(), wait=self._too_large(state))

    def checkpoint(
        self,
        state: Mapping[str, Any],
        *,
        step: int,
        epoch: int,
        line: Sequence[str],
        tag: str | None = None,
        keep: Keep = "rolling",
        command: str | None = None,
    ) -> str:
        """See loop.Recorder. The file's name in the run's folder; `join` returns when it is on disk.

        line: the ids of the steering events in force in this state.   keep: "kept" is never pruned, and so is what
        has a tag.   command: the id of the command that asked for it, for the ledger.   A boundary that is saved
        already is not saved again, but for a command.   Raises UserError for a bad or used tag.
        """
        self._writing.join()
        kept = keep == "kept" or tag is not None
        if not kept and command is None and (saved := self._saved(step, line)):
            return saved
        name = self._kept_name(step, tag) if kept else checkpoints.free_last_name(self._folder / CHECKPOINTS, step)
        self.flush()
        if self._mirror is not None:
            self._patience.run(self._guarded(self._mirror.save), where=self._folder)
        fields = {
            "epoch": epoch,
            "line": list(line),
            **({"kept": True} if kept else {}),
            **({"tag": tag} if tag else {}),
            **({"command": command} if command else {}),
        }
        whole = {**state, "line": list(line), "recorded_bytes": self._sizes()}
        wait = self._too_large(whole)
        last = Save(name, whole if wait else checkpoints.snapshot(whole), step, fields)
        self._hand_over([*self._take_best(), last], wait=wait)
        return f"{CHECKPOINTS}/{name}"

    def join(self) -> None:
        """Return when every checkpoint is on disk and in the ledger. Raises what went wrong with one."""
        self._writing.join()

    def abandon(self, *, after: int, known_after: int | None = None, since: int | None = None) -> None:
        """The run went back to step `after`: mark the rows beyond it, forget the best weights that were found there.

        known_after: the step of the state that training goes on from.   since: that state's `recorded_bytes` of the
        metrics, where it lies on another line. The ledger has the event first, and the old files are moved after.
        """
        self._writing.join()
        if known_after is not None:  # what was found since that state is found again, or is of another line
            self._best.clear()
        self._metrics.abandon(after=after, known_after=known_after, since=since)
        self._patience.run(self._guarded(self._metrics.sync), where=self._folder / METRICS)

    def close(self) -> None:
        """Bring what is in memory to disk; after a failure that is the best weights too.

        Where the guard forbids to write, what is in memory is dropped, and what the guard raised goes on.
        """
        try:
            self._guard()
        except UserError:
            self._metrics.discard()
            raise
        try:
            try:
                self._writing.join()
            finally:
                if self._best:
                    self._commit(self._take_best())
        finally:
            with suppress(UserError):  # asked to stop while the disk is full: closing says what is lost
                self.flush()
            self._metrics.close()

    def _open(self, after: int | None, since: int | None) -> MetricsWriter:
        path = self._folder / METRICS
        made = partial(MetricsWriter, path, after=after, since=since)
        return self._patience.run(self._guarded(made), where=path)

    def _guarded(self, action: Callable[[], Value]) -> Callable[[], Value]:
        """The action, checked at each attempt: waiting for room takes long enough to lose the run."""

        def attempt() -> Value:
            self._guard()
            return action()

        return attempt

    def _copy(self, mirror: Mirror, row: Row) -> None:
        try:
            mirror(row)
        except OSError as error:  # the loggers have the row in memory
            if not is_full(error):
                raise
            self._patience.run(mirror.save, where=self._folder)

    def _sizes(self) -> dict[str, int]:
        return {"ledger": (self._folder / LEDGER).stat().st_size, "metrics": self._metrics.size}

    def _too_large(self, state: Mapping[str, Any]) -> bool:
        return checkpoints.num_bytes(state) > COPY_SHARE * available_bytes()

    def _saved(self, step: int, line: Sequence[str]) -> str | None:
        """The file that holds this boundary already, whole; None when there is none. Nothing is being written."""
        home = self._folder / CHECKPOINTS
        if not any(checkpoints.order_of(path)[0] == step for path in checkpoints.numbered(home, "step-")):
            return None  # the usual case, without reading the ledger
        for event in reversed(read_ledger(self._folder).events):
            name = checkpoints.name_of(event)
            if event["event"] != "checkpointed" or not name.startswith("step-"):
                continue
            if (event["step"], event.get("line")) == (step, list(line)) and _is_whole(home / name, event):
                return f"{CHECKPOINTS}/{name}"
        return None

    def _kept_name(self, step: int, tag: str | None) -> str:
        if tag is not None:
            _check_tag(tag, taken=_tags(self._folder))
        return checkpoints.kept_name(self._folder / CHECKPOINTS, step, tag=tag)

    def _take_best(self) -> list[Save]:
        best, self._best = self._best, {}
        return [best[step] for step in sorted(best)]

    def _hand_over(self, saves: Sequence[Save], *, wait: bool) -> None:
        commit = partial(self._commit, saves)
        if wait:
            self._writing.join()
            commit()
        else:
            self._writing.start(commit)

    def _commit(self, saves: Sequence[Save]) -> None:
        """Rows, files, then their lines in the ledger: what a line names is on disk."""
        self._patience.run(self._guarded(self._metrics.sync), where=self._folder / METRICS)
        for save, digest in [(save, self._write(save)) for save in saves]:
            self._guard()
            noted = {"file": f"{CHECKPOINTS}/{save.name}", "sha256": digest, **save.fields}
            append(self._folder, "checkpointed", step=save.step, patience=self._patience, **noted)
        plan = self._plan
        for prefix, keep, older in (("best-", plan.keep_best, 0), ("step-", plan.keep_last, plan.keep_older)):
            written = [save.name for save in saves if save.name.startswith(prefix)]
            if written:
                self._guard()
                checkpoints.prune(self._folder / CHECKPOINTS, prefix=prefix, keep=keep, older=older, spare=written)

    def _write(self, save: Save) -> str:
        path = self._folder / CHECKPOINTS / save.name
        return self._patience.run(self._guarded(partial(checkpoints.save, path, dict(save.state))), where=path)


def _unguarded() -> None:
    """Nobody else can take a run over of which no guard was given."""


def _is_whole(path: Path, event: Event) -> bool:
    return path.is_file() and checkpoints.file_sha256(path) == event.get("sha256")


def _tags(folder: Path) -> set[str]:
    events = read_ledger(folder).events
    return {event["tag"] for event in events if event["event"] == "checkpointed" and isinstance(event.get("tag"), str)}


def _check_tag(tag: str, *, taken: Iterable[str]) -> None:
    if not TAG.fullmatch(tag):
        rule = "must be at most 64 letters, digits, '.', '_', '+' and '-', and begin with a letter, a digit or '_'"
        raise UserError(f"tag={tag!r}: {rule}")
    if tag in taken:
        raise UserError(f"tag={tag}: a checkpoint of this run has it already; choose another one")
