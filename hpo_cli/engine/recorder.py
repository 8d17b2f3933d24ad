"""Writes what the loop finds into the run's folder."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

from hpo_cli.engine import checkpoints
from hpo_cli.engine.background import Background
from hpo_cli.engine.loggers import Mirror
from hpo_cli.engine.memory import available_bytes
from hpo_cli.engine.patience import Patience, append, is_full
from hpo_cli.errors import UserError
from hpo_cli.plan import CheckpointPlan
from hpo_cli.record.folder import CHECKPOINTS, LEDGER, METRICS
from hpo_cli.record.ledger import read_ledger
from hpo_cli.record.metrics import MetricsWriter

Row = Mapping[str, Any]
Keep = Literal["rolling", "kept"]

KEEP_IN_MEMORY = 256 << 20
"""Best weights up to this size wait in memory for the next checkpoint; larger ones are written at once."""

COPY_SHARE = 0.25
"""A state that would take more than this share of the free memory is written while training waits, not copied."""

_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,63}")


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
    an earlier process wrote are not written again.
    """

    def __init__(
        self,
        folder: Path,
        plan: CheckpointPlan,
        *,
        mirror: Mirror | None = None,
        after: int | None = None,
        patience: Patience | None = None,
    ) -> None:
        self._folder, self._plan, self._mirror = folder, plan, mirror
        self._patience = patience or Patience()
        self._metrics = self._open(after)
        self._best: dict[int, Save] = {}
        self._saved: tuple[int, tuple[str, ...]] | None = None
        self._writing = Background()

    def row(self, row: Row) -> None:
        """See loop.Recorder."""
        self._writing.check()
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
        self._patience.run(self._metrics.flush, where=self._folder / METRICS)

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
    ) -> str:
        """See loop.Recorder. The file's name in the run's folder; `join` returns when it is on disk.

        line: the ids of the steering events in force in this state.   keep: "kept" is never pruned, and so is what
        has a tag.   A boundary that is saved already is not saved again.   Raises UserError for a bad or used tag.
        """
        self._writing.check()
        kept = keep == "kept" or tag is not None
        boundary = (step, tuple(line))
        if not kept and boundary == self._saved:
            return f"{CHECKPOINTS}/{checkpoints.last_name(step)}"
        name = self._kept_name(step, tag) if kept else checkpoints.last_name(step)
        self.flush()
        if self._mirror is not None:
            self._patience.run(self._mirror.save, where=self._folder)
        self._writing.join()
        fields = {
            "epoch": epoch,
            "line": list(line),
            **({"kept": True} if kept else {}),
            **({"tag": tag} if tag else {}),
        }
        whole = {**state, "line": list(line), "recorded_bytes": self._sizes()}
        wait = self._too_large(whole)
        last = Save(name, whole if wait else checkpoints.snapshot(whole), step, fields)
        self._hand_over([*self._take_best(), last], wait=wait)
        if not kept:
            self._saved = boundary
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
        self._saved = None
        self._metrics.abandon(after=after, known_after=known_after, since=since)
        self._patience.run(self._metrics.sync, where=self._folder / METRICS)

    def resumed(self, after: int) -> None:
        """Training goes on from the state after step `after`: rows beyond it are known. For a recorder made before."""
        self._writing.join()
        self._best.clear()
        self._saved = None
        self.flush()
        self._metrics.close()
        self._metrics = self._open(after)

    def close(self) -> None:
        """Bring what is in memory to disk; after a failure that is the best weights too."""
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

    def _open(self, after: int | None) -> MetricsWriter:
        path = self._folder / METRICS
        return self._patience.run(partial(MetricsWriter, path, after=after), where=path)

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

    def _kept_name(self, step: int, tag: str | None) -> str:
        self._writing.join()
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
        self._patience.run(self._metrics.sync, where=self._folder / METRICS)
        for save, digest in [(save, self._write(save)) for save in saves]:
            noted = {"file": f"{CHECKPOINTS}/{save.name}", "sha256": digest, **save.fields}
            append(self._folder, "checkpointed", step=save.step, patience=self._patience, **noted)
        plan = self._plan
        for prefix, keep, older in (("best-", plan.keep_best, 0), ("step-", plan.keep_last, plan.keep_older)):
            written = [save.name for save in saves if save.name.startswith(prefix)]
            if written:
                checkpoints.prune(self._folder / CHECKPOINTS, prefix=prefix, keep=keep, older=older, spare=written)

    def _write(self, save: Save) -> str:
        path = self._folder / CHECKPOINTS / save.name
        return self._patience.run(partial(checkpoints.save, path, dict(save.state)), where=path)


def _tags(folder: Path) -> set[str]:
    events = read_ledger(folder).events
    return {event["tag"] for event in events if event["event"] == "checkpointed" and isinstance(event.get("tag"), str)}


def _check_tag(tag: str, *, taken: Iterable[str]) -> None:
    if not _TAG.fullmatch(tag):
        raise UserError(
            f"tag={tag!r}: must be at most 64 letters, digits, '.', '_' and '-', and begin with no '.' or '-'"
        )
    if tag in taken:
        raise UserError(f"tag={tag}: a checkpoint of this run has it already; choose another one")


class NullRecorder:
    """For processes that do not write: all but the first of several."""

    def row(self, row: Row) -> None:
        """See loop.Recorder."""

    def flush(self) -> None:
        """See FolderRecorder."""

    def improved(self, step: int, state: Mapping[str, Any], *, line: Sequence[str] = ()) -> None:
        """See loop.Recorder."""

    def checkpoint(
        self,
        state: Mapping[str, Any],  # noqa: ARG002 - the protocol
        *,
        step: int,
        epoch: int,  # noqa: ARG002
        line: Sequence[str],  # noqa: ARG002
        tag: str | None = None,  # noqa: ARG002
        keep: Keep = "rolling",  # noqa: ARG002
    ) -> str:
        """See loop.Recorder."""
        return f"{CHECKPOINTS}/{checkpoints.last_name(step)}"

    def join(self) -> None:
        """See FolderRecorder."""

    def abandon(self, *, after: int, known_after: int | None = None, since: int | None = None) -> None:
        """See FolderRecorder."""

    def resumed(self, after: int) -> None:
        """See FolderRecorder."""

    def close(self) -> None:
        """See FolderRecorder."""
