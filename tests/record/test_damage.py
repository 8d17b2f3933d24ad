"""Every file of a run's folder broken in every way: each verb answers or refuses in one line, never a traceback."""

import contextlib
import io
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hpo_cli.errors import UserError
from hpo_cli.record.frame import load_runs
from hpo_cli.record.runs import scan
from hpo_cli.verbs import curves, diff, ls, show
from tests.run_folders import Run, make_run

FILES = ["ledger.jsonl", "plan.yaml", "metrics.jsonl", "result.json"]
LISTED_AS_DAMAGED = {"ledger.jsonl", "plan.yaml", "result.json"}


def remove(path: Path) -> None:
    path.unlink()


def empty(path: Path) -> None:
    path.write_bytes(b"")


def garbage(path: Path) -> None:
    path.write_bytes(bytes(range(256)) * 20)


def folder_instead(path: Path) -> None:
    path.unlink()
    path.mkdir()


def forbid(path: Path) -> None:
    path.chmod(0)


def wrong_types(path: Path) -> None:
    texts = {
        "ledger.jsonl": '{"event": "started", "at": 3, "name": [], "objective": 5, "choices": [1], '
        '"overrides": "x", "step": "y", "command": 7, "cwd": {}, "environment": "x"}\n',
        "plan.yaml": "choices: [1, 2]\nlr: {a: {}}\n3: 4\n",
        "metrics.jsonl": '{"step": 1, "epoch": "x", "val/loss": [1], "val/accuracy": {"a": 1}}\n',
        "result.json": '{"status": "finished", "objective": [], "metrics": 3, "best": {"val/loss": 7}, '
        '"steps": "x", "seconds": null}',
    }
    path.write_text(texts[path.name])


DAMAGES: list[Callable[[Path], None]] = [remove, empty, garbage, folder_instead, forbid, wrong_types]


@pytest.fixture
def root() -> Iterator[Path]:
    """A folder that an ordinary user may read, with a good run and one to damage; root becomes that user."""
    place = Path(tempfile.mkdtemp(prefix="hpo-damage-"))
    place.chmod(0o755)
    make_run(place, Run(id="900d00", minutes_old=1))
    make_run(place, Run(id="bad000", minutes_old=9))
    yield place
    shutil.rmtree(place)


@contextlib.contextmanager
def ordinary_user() -> Iterator[None]:
    is_root = os.geteuid() == 0
    if is_root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if is_root:
            os.seteuid(0)


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
@pytest.mark.parametrize("file", FILES)
def test_no_damage_gives_a_traceback(root: Path, file: str, damage: Callable[[Path], None]) -> None:
    damage(root / "digits" / "bad000" / file)
    with ordinary_user():
        records = {record.id: record for record in scan(root)}
        answers = [answer(verb, words, root) for verb, words in CALLS]
        frame = load_runs(root)
    assert list(frame["id"]) == [record.id for record in scan(root)] or damage is forbid
    assert set(records) == {"900d00", "bad000"}
    assert records["900d00"].status == "finished"
    is_damaged = file in LISTED_AS_DAMAGED and damage is not wrong_types and (file, damage) != ("result.json", remove)
    assert (records["bad000"].status == "damaged") == is_damaged, records["bad000"]
    assert bool(records["bad000"].damage) == is_damaged
    assert all(answers)


CALLS = [
    (ls, []), (ls, ["--json"]), (ls, ["--sort", "objective"]), (show, ["bad000"]), (show, ["bad000", "--json"]),
    (curves, ["bad000"]), (curves, ["bad000", "900d00"]), (curves, ["bad000", "--json"]),
    (diff, ["bad000", "900d00"]), (diff, ["900d00", "bad000", "--json"]),
]  # fmt: skip


def answer(verb: object, words: list[str], root: Path) -> str:
    with contextlib.redirect_stdout(io.StringIO()) as out:
        try:
            assert verb.main([*words, "--outputs", str(root)]) == 0  # type: ignore[attr-defined]
        except UserError as error:
            return "" if "\n" in str(error) else str(error)
    return out.getvalue()


def test_a_folder_that_cannot_be_entered_is_passed_over(root: Path) -> None:
    (root / "digits" / "bad000").chmod(0)
    with ordinary_user():
        assert "900d00" in {record.id for record in scan(root)}
