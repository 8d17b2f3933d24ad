"""All runs below a root: listing them, newest first, and finding the one that a person means."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from hpo_cli.errors import UserError, did_you_mean
from hpo_cli.record.folder import LEDGER, PLAN, is_run
from hpo_cli.record.folds import fold_folder
from hpo_cli.record.places import is_sweep, places, runs_in, walk
from hpo_cli.record.reading import Objective, RunRecord, read_run
from hpo_cli.record.sweeps import best_run, find_sweep, newest_sweep, no_run, started, sweeps_in

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["Objective", "RunRecord", "best_of", "find_run", "read_run", "scan", "scan_own", "walk"]

_SHOWN_CANDIDATES = 8


def scan(root: Path | str, *, name: str | None = None, now: float | None = None) -> list[RunRecord]:
    """The runs below `root`, newest first; only those called `name`, when given. No root: no runs.

    Trials of sweeps are runs, too.
    """
    return _newest_first(walk(root), name=name, now=now)


def scan_own(root: Path | str, *, now: float | None = None) -> list[RunRecord]:
    """The same without the trials of sweeps: the runs that people started, newest first."""
    return _newest_first((place.path for place in places(root) if place.kind == "run"), now=now)


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
    """The folder of the run meant: a path, an id, a unique beginning of one, `last`, `best`, `best:NAME`, `best:SWEEP`.

    `best` is the best finished run among those with the newest run's name and objective. `last` is what a person
    started last; a trial of a sweep never is, and where that was a sweep, no run is taken in its stead: to stop or to
    resume another one than was meant would be worse than a question. Raises UserError.
    """
    word, _, name = ref.partition(":")
    if ref == "last":
        return _last(root)
    if word == "best":
        return _best(root, name or None)
    if ref and is_run(ref):
        return _named(Path(ref))
    if ref and is_sweep(ref):
        raise no_run(ref, _named(Path(ref)))
    if ref and Path(ref).is_dir() and is_run(one := fold_folder(Path(ref), 1)):
        raise UserError(
            f"{ref}: a cross-validation, not a run; `hpo-run folds {ref}`, or a run of it, such as {one.name}"
        )
    return _by_id(ref, root)


def _newest_first(paths: Iterable[str], *, name: str | None = None, now: float | None = None) -> list[RunRecord]:
    records = (read_run(path, now=now) for path in paths)
    chosen = [record for record in records if name in (None, record.name)]
    return sorted(chosen, key=lambda record: (record.started, record.id), reverse=True)


def _last(root: Path | str) -> Path:
    records, sweep = scan_own(root), newest_sweep(root)
    if sweep is not None and (not records or started(sweep) > records[0].started):
        raise no_run("last", sweep)
    if not records:
        raise _no_runs(root)
    return records[0].path


def _best(root: Path | str, name: str | None) -> Path:
    sweeps = [Path(place) for place in sweeps_in(root)] if name else []
    if name and (is_sweep(name) or name in {sweep.name for sweep in sweeps}):
        return best_run(find_sweep(name, root), ref=f"best:{name}")
    records = scan(root)
    if not records:
        raise _no_runs(root)
    known = dict.fromkeys(record.name for record in records)
    if name and name not in known and (name == "last" or any(sweep.name.startswith(name) for sweep in sweeps)):
        return best_run(find_sweep(name, root), ref=f"best:{name}")
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
    found = list(places(root))
    if not found:
        raise _no_runs(root)
    wanted = ref.rstrip("/")
    known = {Path(place.path): _known_as(Path(place.path), root, wanted) for place in found}
    sweeps = [Path(place.path) for place in found if place.kind == "sweep"]
    within = [sweep for sweep in sweeps if wanted.startswith((f"{known[sweep]}-", f"{known[sweep]}/"))]
    known |= {Path(run): _known_as(Path(run), root, wanted) for sweep in within for run in runs_in(sweep)}
    fits = _fitting(wanted, known)
    if len(fits) == 1 and fits[0] in sweeps:
        raise no_run(ref, fits[0])
    if len(fits) == 1:
        return fits[0]
    if within and not fits:
        raise UserError(f"{ref}: no run of the sweep {within[0].name}; `hpo-run ls {within[0].name}` lists them")
    raise _ambiguous(ref, fits) if fits else _not_found(ref, root, known.values())


def _fitting(wanted: str, known: Mapping[Path, str]) -> list[Path]:
    """The places of that name; else the runs of a trial that has one for each seed or fold; else what begins so."""
    exact = [place for place, name in known.items() if name == wanted]
    of_trial = [place for place, name in known.items() if "-" in wanted and name.rpartition("-")[0] == wanted]
    return exact or of_trial or [place for place, name in known.items() if wanted and name.startswith(wanted)]


def _known_as(place: Path, root: Path | str, wanted: str) -> str:
    return place.relative_to(root).as_posix() if "/" in wanted else place.name


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
    shown = ", ".join(f"{place.name} ({place.parent.name})" for place in sorted(fits)[:_SHOWN_CANDIDATES])
    what = "runs and sweeps" if any(map(is_sweep, fits)) else "runs"
    more = f" and {len(fits) - _SHOWN_CANDIDATES} more" if len(fits) > _SHOWN_CANDIDATES else ""
    return UserError(f"{ref}: fits {len(fits)} {what}: {shown}{more}; type more of the id, or the path")


def _join(*parts: str) -> str:
    return "; ".join(part for part in parts if part)
