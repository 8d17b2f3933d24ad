"""All runs below a root: listing them, newest first, and finding the one that a person means."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from hpo_cli.errors import UserError, did_you_mean
from hpo_cli.record.folder import LEDGER, PLAN, is_run
from hpo_cli.record.folds import fold_folder
from hpo_cli.record.reading import Objective, RunRecord, read_run

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["Objective", "RunRecord", "best_of", "find_run", "read_run", "scan", "walk"]

_DEPTH = 3  # root / name / sweep / run
_SHOWN_CANDIDATES = 8


def scan(root: Path | str, *, name: str | None = None, now: float | None = None) -> list[RunRecord]:
    """The runs below `root`, newest first; only those called `name`, when given. No root: no runs."""
    records = (read_run(path, now=now) for path in walk(root))
    chosen = [record for record in records if name in (None, record.name)]
    return sorted(chosen, key=lambda record: (record.started, record.id), reverse=True)


def walk(root: Path | str) -> Iterator[str]:
    """The folders of runs, at most three levels below `root`; links back into `root` are not followed."""
    top = os.path.realpath(root)
    return _walk(os.fspath(root), top=top, depth=_DEPTH)


def best_of(records: Iterable[RunRecord]) -> RunRecord | None:
    """The finished run with the best value of the objective that the first record with one has, if any."""
    aims = [(record, record.objective) for record in records if record.objective is not None]
    if not aims:
        return None
    name, mode = aims[0][1].name, aims[0][1].mode
    values = [
        (aim.value, record)
        for record, aim in aims
        if record.status == "finished" and aim.value is not None and (aim.name, aim.mode) == (name, mode)
    ]
    pick = min if mode == "min" else max
    return pick(values, key=lambda pair: pair[0])[1] if values else None


def find_run(ref: str, root: Path | str) -> Path:
    """The folder of the run meant: a path, an id, a unique beginning of one, `last`, `best`, `best:NAME`.

    `best` is the best finished run among those with the newest run's name and objective. Raises UserError.
    """
    word, _, name = ref.partition(":")
    if ref == "last":
        return _last(root)
    if word == "best":
        return _best(root, name or None)
    if ref and is_run(ref):
        return _named(Path(ref))
    if ref and Path(ref).is_dir() and is_run(one := fold_folder(Path(ref), 1)):
        raise UserError(
            f"{ref}: a cross-validation, not a run; `hpo-run folds {ref}`, or a run of it, such as {one.name}"
        )
    return _by_id(ref, root)


def _walk(place: str, *, top: str, depth: int) -> Iterator[str]:
    if _is_run(place):
        yield place
        return
    try:
        with os.scandir(place) as entries:
            found = list(entries) if depth else []
    except OSError:
        return
    for entry in found:
        if _leads_on(entry, top):
            yield from _walk(entry.path, top=top, depth=depth - 1)


def _is_run(place: str) -> bool:
    exists = os.path.exists  # strings, not paths, for speed over many runs
    return exists(f"{place}{os.sep}{LEDGER}") or exists(f"{place}{os.sep}{PLAN}")


def _leads_on(entry: os.DirEntry[str], top: str) -> bool:
    if entry.name.startswith(".") or not entry.is_dir():
        return False
    return not (entry.is_symlink() and os.path.realpath(entry.path).startswith(top))


def _last(root: Path | str) -> Path:
    records = scan(root)
    if not records:
        raise _no_runs(root)
    return records[0].path


def _best(root: Path | str, name: str | None) -> Path:
    records = scan(root)
    if not records:
        raise _no_runs(root)
    known = dict.fromkeys(record.name for record in records)
    if name is not None and name not in known:
        raise UserError(_join(f"best:{name}: no runs of that name in {root}", did_you_mean(name, known)))
    wanted = name or next((record.name for record in records if record.objective), records[0].name)
    best = best_of(record for record in records if record.name == wanted)
    if best is None:
        raise UserError(f"best: no run of {wanted} has finished with a value; `hpo-run ls {wanted}` lists them")
    return best.path


def _named(path: Path) -> Path:
    """`path`, made absolute where its last part is no name (`.`, `..`): a run's id is its folder's name."""
    return path if path.name not in {"", ".."} else path.resolve()


def _by_id(ref: str, root: Path | str) -> Path:
    places = [Path(place) for place in walk(root)]
    if not places:
        raise _no_runs(root)
    wanted = ref.rstrip("/")
    ids = {place: _known_as(place, root, deep="/" in wanted) for place in places}
    exact = [place for place, known in ids.items() if known == wanted]
    fits = exact or [place for place, known in ids.items() if wanted and known.startswith(wanted)]
    if len(fits) == 1:
        return fits[0]
    raise _ambiguous(ref, fits) if fits else _not_found(ref, root, ids.values())


def _known_as(place: Path, root: Path | str, *, deep: bool) -> str:
    return place.relative_to(root).as_posix() if deep else place.name


def _no_runs(root: Path | str) -> UserError:
    return UserError(f"{root}: no runs here yet; `hpo-run` makes one, or name another folder with --outputs DIR")


def _not_found(ref: str, root: Path | str, ids: Iterable[str]) -> UserError:
    guess = did_you_mean(ref, [*ids, "last", "best"])
    if ref and Path(ref).exists():
        return UserError(f"{ref}: not a run's folder (it has no {LEDGER} and no {PLAN}); `hpo-run ls` lists the runs")
    return UserError(
        _join(f"{ref or 'RUN'}: no such run in {root}", guess or "`hpo-run ls` lists the runs, `last` is the newest")
    )


def _ambiguous(ref: str, fits: list[Path]) -> UserError:
    shown = ", ".join(f"{place.name} ({place.parent.name})" for place in fits[:_SHOWN_CANDIDATES])
    more = f" and {len(fits) - _SHOWN_CANDIDATES} more" if len(fits) > _SHOWN_CANDIDATES else ""
    return UserError(f"{ref}: fits {len(fits)} runs: {shown}{more}; type more of the id, or the path")


def _join(*parts: str) -> str:
    return "; ".join(part for part in parts if part)
