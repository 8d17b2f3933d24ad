"""Checkpoints on disk: plain types and tensors, replaced atomically, loaded with `weights_only=True`."""

from __future__ import annotations

import hashlib
import os
import pickle
import shutil
import struct
import zipfile
import zlib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import IO, Any, cast

import torch

from hpo_cli.errors import UserError
from hpo_cli.record.atomic import free_name, replace_file, sync_folder
from hpo_cli.record.contents import text
from hpo_cli.record.folder import ABANDONED, CHECKPOINTS
from hpo_cli.record.ledger import Event
from hpo_cli.record.line import Line
from hpo_cli.record.weights import numbered, order_of

State = dict[str, Any]

_DAMAGE = (
    *(OSError, RuntimeError, EOFError, LookupError, ValueError, TypeError, AttributeError, AssertionError, MemoryError),
    *(pickle.UnpicklingError, struct.error, zipfile.BadZipFile, zlib.error),
)
"""What zipfile, pickle and torch raise for bytes that are no checkpoint, or no longer one."""


def last_name(step: int, number: int = 1) -> str:
    """File name of a checkpoint from which training goes on. number: of those of one step."""
    return f"step-{step:08d}{f'-{number}' if number > 1 else ''}.pt"


def free_last_name(folder: Path, step: int) -> str:
    """A file name in `folder` for one more checkpoint of this step: nothing that lies there is ever replaced."""
    taken = [number for path in numbered(folder, "step-") for at, number in [order_of(path)] if at == step]
    numbers = count(max(taken, default=0) + 1)
    return next(name for number in numbers if not os.path.lexists(folder / (name := last_name(step, number))))


def best_name(step: int) -> str:
    """File name of the weights that had one of the best objectives."""
    return f"best-{step:08d}.pt"


def kept_name(folder: Path, step: int, *, tag: str | None) -> str:
    """A free file name in `folder` for a checkpoint that is never pruned."""
    name = f"kept-{step:08d}" + (f"-{tag}" if tag else "")
    return free_name(folder / f"{name}.pt").name


def save(path: Path, state: State) -> str:
    """Write `state`, durable and whole or not at all. The file's sha256. Raises OSError."""
    with replace_file(path) as file:
        sink = _Sink(file)
        torch.save(state, cast("IO[bytes]", sink))
        if sink.error is not None:
            raise sink.error
    return sink.digest.hexdigest()


class _Sink:
    """Where torch writes to. It keeps an error for later, which torch would hide in one of its own."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.digest = hashlib.sha256()
        self.error: OSError | None = None

    def write(self, data: bytes) -> int:
        if self.error is None:
            try:
                self._file.write(data)
                self.digest.update(data)
            except OSError as error:
                self.error = error
        return len(data)

    def flush(self) -> None:
        """The file is flushed once, at its end."""


def load(path: Path, *, device: str | torch.device = "cpu") -> State:
    """Read a checkpoint without running any code from it. Raises UserError for a file that is missing or damaged."""
    try:
        _check_sums(path)
        state: State = torch.load(path, map_location=device, weights_only=True)
        if not isinstance(state, dict):
            raise TypeError(f"it holds a {type(state).__name__}")
    except _DAMAGE as error:
        line = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"{path}: no readable checkpoint ({line})") from error
    return state


def _check_sums(path: Path) -> None:
    """Compare each record with its CRC-32, which torch writes but never reads: it misses a flipped bit."""
    with zipfile.ZipFile(path) as file:
        if (record := file.testzip()) is not None:
            raise zipfile.BadZipFile(f"{record} is damaged")


def prune(folder: Path, *, prefix: str, keep: int, older: int = 0, spare: Collection[str] = ()) -> None:
    """Remove the run's own files of `prefix`: all but the newest `keep`, `older` of those before, and `spare`.

    The newest are those of the last steps, and of one step the last that were written. Of older steps one file stays.
    """
    files = numbered(folder, prefix)
    newest = max(0, len(files) - keep)
    before = {order_of(path)[0]: path for path in files[:newest]}
    thinned = spread(list(before), now=order_of(files[-1])[0] if files else 0, keep=older)
    kept = {*files[newest:], *(before[step] for step in thinned)}
    for path in files:
        if path not in kept and path.name not in spare:
            path.unlink(missing_ok=True)


def spread(steps: Sequence[int], *, now: int, keep: int) -> list[int]:
    """`keep` of these rising steps, dense where they are near `now` and ever thinner towards the start.

    One after the other goes whose neighbours are nearest to each other in age, by their ratio: the ages that stay grow
    by about the same factor from each to the next.

    >>> spread([10, 20, 30, 40, 50, 60, 70, 80], now=90, keep=4)
    [40, 60, 70, 80]
    """
    left = list(steps)
    while len(left) > keep:
        ages = [now - step for step in (0, *left)] + [1]
        ratios = [ages[i] / max(1, ages[i + 2]) for i in range(len(left))]
        del left[ratios.index(min(ratios))]
    return left


def snapshot(state: Any) -> Any:
    """A copy that later steps do not change, in host memory unless it is there already."""
    if isinstance(state, torch.Tensor):
        return state.detach().clone() if state.device.type == "cpu" else state.detach().cpu()
    if isinstance(state, dict):
        return {key: snapshot(value) for key, value in state.items()}
    if isinstance(state, (list, tuple)):
        return type(state)(snapshot(value) for value in state)
    return state


def weights_sha256(tensors: Iterable[tuple[str, torch.Tensor]]) -> str:
    """Hash over names, types, shapes and bytes of tensors; equal only for equal bits."""
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors, key=lambda pair: pair[0]):
        array = tensor.detach().cpu().contiguous()
        digest.update(f"{name}|{array.dtype}|{tuple(array.shape)}|".encode())
        digest.update(array.flatten().view(torch.uint8).numpy().tobytes() if array.ndim else str(array.item()).encode())
    return digest.hexdigest()


def num_bytes(state: Any) -> int:
    """Bytes in the tensors of a nested state."""
    if isinstance(state, torch.Tensor):
        return state.nbytes
    items = state.values() if isinstance(state, Mapping) else state if isinstance(state, (list, tuple)) else ()
    return sum(map(num_bytes, items))


def newest_loadable(folder: Path, line: Line, *, warn: Callable[[str], None]) -> tuple[Event, State] | None:
    """The newest state of a run from which training on the line can go on, and its event; None where there is none.

    A file that is not what the ledger says is renamed to `<name>.damaged`, never
    deleted, `warn` gets a line for the ledger and the screen, and the one before is tried. Pruned ones are passed over.
    """
    found = [event for event in line.checkpoints if can_go_on(event)]
    for event in sorted(found, key=lambda event: int(event["step"]))[::-1]:
        state = _load_whole(place_of(folder, event), event, line=line, warn=warn)
        if state is not None:
            return event, state
    return None


def sweep(folder: Path, line: Line | None = None) -> list[Path]:
    """Remove what a killed process left of unfinished files; only the run's owner may. The files that went.

    line: also rename to `<name>.unrecorded` what was finished and not yet in the ledger; training finds it again.
    """
    home = folder / CHECKPOINTS
    left = [path for prefix in ("step-", "best-", "kept-") for path in home.glob(f".{prefix}*.tmp")]
    for path in left:
        path.unlink(missing_ok=True)
    if line is None:
        return left
    recorded = {name_of(event) for event in (*line.checkpoints, *line.abandoned)}
    strangers = [path for path in _replaceable(home) if path.name not in recorded]
    for path in strangers:
        path.replace(free_name(path.with_name(f"{path.name}.unrecorded")))
    return left + strangers


def move_abandoned(folder: Path, line: Line, *, keep: int = 3) -> list[Path]:
    """Move checkpoints off the line to `checkpoints/abandoned-<step>/`, of which the newest `keep` stay.

    step: where the run was when it went back. Kept files stay. Called again after a kill, it does what is left.
    The files that were moved, where they are now.
    """
    home = folder / CHECKPOINTS
    lost = [path for path in _replaceable(home) if _is_abandoned(path, line)]
    moved = []
    if lost:
        target = _abandoned_folder(home, line, names=[path.name for path in lost])
        moved = [path.replace(target / path.name) for path in lost]
        sync_folder(target)
        sync_folder(home)
    folders = [path for path in home.glob(f"{ABANDONED}*") if path.is_dir()]
    for old in sorted(folders, key=lambda path: (path.stat().st_mtime_ns, path.name))[: -keep or None]:
        shutil.rmtree(old, ignore_errors=True)
    return moved


def name_of(event: Event) -> str:
    """The name of a `checkpointed` event's file; empty when it has none."""
    return Path(text(event.get("file"))).name


def place_of(folder: Path, event: Event) -> Path:
    """Where the file of a `checkpointed` event lies, which is below checkpoints/ whatever the ledger says."""
    return folder / CHECKPOINTS / name_of(event)


def can_go_on(event: Event) -> bool:
    """Whether an event is of a whole state; best weights are not enough to go on from."""
    return name_of(event).startswith(("step-", "kept-"))


def _replaceable(home: Path) -> list[Path]:
    return [path for prefix in ("best-", "step-") for path in numbered(home, prefix)]


def _load_whole(path: Path, event: Event, *, line: Line, warn: Callable[[str], None]) -> State | None:
    if not path.is_file():
        return None
    try:
        digest = file_sha256(path)
        if digest == event.get("sha256"):
            return load(path)
    except (OSError, UserError) as error:
        warn(f"{path} cannot be used ({str(error).splitlines()[0]}); the checkpoint before it is taken")
        return None
    if digest not in _digests((*line.checkpoints, *line.abandoned), path.name):  # else it was saved anew
        aside = _set_aside(path)
        warn(f"{path} is damaged: it is not the file of the ledger; set aside as {aside.name}")
    return None


def _set_aside(path: Path) -> Path:
    aside = next(name for number in count(1) if not (name := _damaged(path, number)).exists())
    path.replace(aside)
    sync_folder(path.parent)
    return aside


def _damaged(path: Path, number: int) -> Path:
    return path.with_name(f"{path.name}.damaged" + (f"-{number}" if number > 1 else ""))


def file_sha256(path: Path) -> str:
    """The hash of a file's bytes. Raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _digests(events: Iterable[Event], name: str) -> set[str]:
    return {text(event.get("sha256")) for event in events if name_of(event) == name}


def _is_abandoned(path: Path, line: Line) -> bool:
    living, dead = _digests(line.checkpoints, path.name), _digests(line.abandoned, path.name)
    if not dead or not living:
        return bool(dead)
    digest = file_sha256(path)  # a name that both lines used: whose file is it now?
    return digest in dead and digest not in living


def _abandoned_folder(home: Path, line: Line, *, names: Collection[str]) -> Path:
    """The folder of the newest rollback, or one beside it where that has files of these names."""
    went_back = [event for event in line.chain if event["event"] == "rolled_back"]
    step = went_back[-1]["step"] if went_back else max(event["step"] for event in line.abandoned)
    for number in count(1):
        target = home / (f"{ABANDONED}{step:08d}" + (f"-{number}" if number > 1 else ""))
        if not any((target / name).exists() for name in names):
            break
    target.mkdir(exist_ok=True)
    return target
