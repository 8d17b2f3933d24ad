"""How a run ended, put by when the run goes on: nothing that was saved is overwritten."""

from __future__ import annotations

from pathlib import Path

from hpo_cli.record.folder import ERROR, RESULT


def retire_end(folder: Path, *, step: int) -> None:
    """Rename `result.json` and `error.txt` of an earlier end: `result-<step>.json`, `error-<step>.txt`."""
    for name in (RESULT, ERROR):
        path = folder / name
        if path.exists():
            path.rename(_free(folder, Path(name), step))


def _free(folder: Path, name: Path, step: int) -> Path:
    first = folder / f"{name.stem}-{step:08d}{name.suffix}"
    others = (folder / f"{name.stem}-{step:08d}-{k}{name.suffix}" for k in range(2, 1_000_000))
    return first if not first.exists() else next(path for path in others if not path.exists())
