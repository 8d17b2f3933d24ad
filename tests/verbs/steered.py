"""Small runs with a past: trained through the command, with nudges that their ledgers put off to a step."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hpo_cli.record import ledger
from hpo_cli.record.contents import read_result
from hpo_cli.record.metrics import read_metrics
from hpo_cli.record.start import start_run
from hpo_cli.verbs.children import put_off
from tests.command_line import call, compose_and_check

SMALL = (
    *("trainer=cpu", "trainer.threads=1", "data.subset=0.1", "model.width=16", "epochs=4", "batch_size=16"),
    *("regularization.dropout=0.1", "trainer.log_every_steps=1"),
)
"""126 digits: eight steps an epoch, 32 in all."""


def begun(place: str, *words: str) -> Path:
    """A run that has its folder and has not trained yet."""
    found = compose_and_check(*SMALL, *words)
    files = found.composition.hydra_files
    return start_run(
        found.plan, command=found.words.command, overrides=found.words.overrides, hydra_files=files, at=place
    )


def nudge_at(folder: Path, step: int, **changes: Any) -> None:
    """Put a nudge off to a step. changes: new values, `__` for a dot."""
    asked = {key.replace("__", "."): ["=", value] for key, value in changes.items()}
    put_off(folder, step=0, due={"step": step}, do="nudge", changes=asked, who="ada@bench", why="a test")


def stop_at(folder: Path, step: int) -> None:
    """Put its end off to a step."""
    put_off(folder, step=0, due={"step": step}, do="stop", who="ada@bench")


def nudged(*words: str) -> Path:
    """A trained run, nudged after step 10, which is in the second of four epochs, and again after step 20."""
    folder = begun("outputs/all/parent", *words)
    nudge_at(folder, 10, lr=0.004, regularization__dropout=0.2)
    nudge_at(folder, 20, lr=0.002)
    return train(folder)


def train(folder: Path, *words: str) -> Path:
    """Train a run to its end."""
    answer = call(f"resume={folder}", *words)
    assert answer.code == 0, answer.err
    return folder


def new_runs(root: Path, known: set[Path]) -> list[Path]:
    """The runs that were made since `known` were there, oldest first."""
    found = {path.parent for path in root.glob("*/*/ledger.jsonl")} - known
    return sorted(found, key=lambda folder: events_of(folder)[0]["at"])


def child_of(*words: str, code: int = 0) -> Path:
    """The folder of the child that a command makes."""
    before = {path.parent for path in Path("outputs").glob("*/*/ledger.jsonl")}
    answer = call(*words)
    assert answer.code == code, answer
    (made,) = new_runs(Path("outputs"), before)
    return made


def events_of(folder: Path) -> list[dict[str, Any]]:
    return list(ledger.read_ledger(folder).events)


def started_of(folder: Path) -> Mapping[str, Any]:
    return events_of(folder)[0]


def rows_of(folder: Path, *, after: int = 0) -> list[dict[str, Any]]:
    return [row for row in read_metrics(folder / "metrics.jsonl") if row["step"] > after]


def sha_of(folder: Path) -> str:
    result = read_result(folder)
    assert result is not None
    return str(result["weights_sha256"])


def bytes_of(folder: Path) -> dict[str, bytes]:
    """Every file of a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
