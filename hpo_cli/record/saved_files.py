"""The checkpoints that lie in a run's folder now, with what the ledger says of each."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from hpo_cli.record.contents import Values, count, text
from hpo_cli.record.folder import CHECKPOINTS
from hpo_cli.record.ledger import Event
from hpo_cli.record.line import Line

ABANDONED = "abandoned-"
_STEP = re.compile(r"(?:step|best|kept)-(\d{1,18})")
_FILES = (".pt", ".ckpt")


@dataclass(frozen=True)
class SavedFile:
    """One file. file: in the run's folder.   marks: `best`, `kept`, `tag good`, `abandoned`, `damaged`, ..."""

    file: str
    step: int | None
    epoch: int | None = None
    marks: tuple[str, ...] = ()

    def to_json(self) -> Values:
        """All fields in types that JSON knows."""
        return vars(self) | {"marks": list(self.marks)}


def saved_files(folder: Path, line: Line, *, best_step: int | None = None) -> tuple[SavedFile, ...]:
    """What is on disk, by step, the newest last; folders of abandoned states come first, as one each.

    best_step: where the objective was best, to tell which of several best weights are the best.
    """
    home = folder / CHECKPOINTS
    try:
        entries = sorted(path for path in home.iterdir() if not path.name.startswith("."))
    except OSError:
        return ()
    alive, dead = _by_name(line.checkpoints), _by_name(line.abandoned)
    folders = [_folder(path) for path in entries if path.is_dir() and path.name.startswith(ABANDONED)]
    best = _best([path.name for path in entries], best_step)
    files = [_file(path.name, alive, dead, best=best) for path in entries if path.is_file() and _is_state(path.name)]
    return (*folders, *sorted(files, key=lambda one: (one.step is not None, one.step or 0)))


def _is_state(name: str) -> bool:
    return name.endswith(_FILES) or any(f"{end}." in name for end in _FILES)


def _by_name(events: Iterable[Event]) -> dict[str, Event]:
    """The newest event of each file."""
    return {Path(text(event.get("file"))).name: event for event in events}


def _best(names: Iterable[str], step: int | None) -> str:
    found = {name: int(match[1]) for name in names if name.startswith("best-") and (match := _STEP.match(name))}
    exact = [name for name, at in found.items() if at == step]
    return exact[0] if exact else max(found, key=lambda name: found[name], default="")


def _folder(path: Path) -> SavedFile:
    names = sorted(one.name for one in path.iterdir())
    marks = (f"{len(names)} file{'s' * (len(names) != 1)} that a rollback left",)
    return SavedFile(f"{CHECKPOINTS}/{path.name}/", None, marks=marks)


def _file(name: str, alive: Mapping[str, Event], dead: Mapping[str, Event], *, best: str) -> SavedFile:
    event = alive.get(name) or dead.get(name) or {}
    match = _STEP.match(name)
    step = count(event.get("step"))
    tag = text(event.get("tag"))
    said = {
        "best": name == best,
        f"tag {tag}": bool(tag),
        "kept": event.get("kept") is True and not tag,
        "abandoned": name in dead and name not in alive,
        "damaged": ".damaged" in name,
        "not in the ledger": name.endswith(".unrecorded"),
    }
    marks = tuple(mark for mark, holds in said.items() if holds)
    return SavedFile(
        f"{CHECKPOINTS}/{name}",
        int(match[1]) if step is None and match else step,
        count(event.get("epoch")),
        marks,
    )
