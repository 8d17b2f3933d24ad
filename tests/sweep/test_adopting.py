"""The newest state of a run by its ledger, and a link of it that outlives what its owner does."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from hpo_cli.errors import UserError
from hpo_cli.record import ledger
from hpo_cli.sweep.adopting import link_newest, link_state, newest_state
from tests.command_line import REPOSITORY


def saved(folder: Path, name: str, *, step: int, line: tuple[str, ...] = ()) -> Path:
    path = folder / "checkpoints" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(f"{folder.name} {name}".encode())
    ledger.append(folder, "checkpointed", step=step, file=f"checkpoints/{name}", sha256="", line=list(line))
    return path


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    folder.mkdir()
    ledger.append(folder, "started", step=0)
    return folder


@pytest.fixture
def other(tmp_path: Path) -> Path:
    (tmp_path / "other" / "checkpoints").mkdir(parents=True)
    return tmp_path / "other"


def test_a_run_without_states_has_none(run: Path, other: Path) -> None:
    assert newest_state(run) is None
    assert newest_state(other) is None
    assert link_newest(run, other) is None
    assert list((other / "checkpoints").iterdir()) == []


def test_the_newest_whole_state_is_taken(run: Path) -> None:
    for name, step in (("step-00000004.pt", 4), ("kept-00000006-good.pt", 6), ("best-00000008.pt", 8)):
        saved(run, name, step=step)
    assert newest_state(run) == "checkpoints/kept-00000006-good.pt"
    (run / "checkpoints/kept-00000006-good.pt").unlink()
    assert newest_state(run) == "checkpoints/step-00000004.pt"


def test_of_one_step_the_last_written_is_taken(run: Path) -> None:
    saved(run, "step-00000004.pt", step=4)
    saved(run, "step-00000004-2.pt", step=4)
    assert newest_state(run) == "checkpoints/step-00000004-2.pt"


def test_what_a_rollback_left_is_not(run: Path) -> None:
    saved(run, "step-00000004.pt", step=4)
    saved(run, "step-00000008.pt", step=8)
    ledger.append(run, "rolled_back", step=9, id="a", to=5, line=[])
    assert newest_state(run) == "checkpoints/step-00000004.pt"


def test_the_past_of_a_run_that_took_another_ones_state_is_not(run: Path) -> None:
    saved(run, "step-00000004.pt", step=4)
    saved(run, "step-00000006.pt", step=6, line=("a",))
    ledger.append(run, "rolled_back", step=4, id="a", to=6, line=[], knobs={}, adopted={"run": "x"})
    assert newest_state(run) == "checkpoints/step-00000006.pt"
    (run / "checkpoints/step-00000006.pt").unlink()
    assert newest_state(run) is None


def test_a_link_costs_nothing_and_stays(run: Path, other: Path) -> None:
    state = saved(run, "step-00000004.pt", step=4)
    saved(run, "best-00000002.pt", step=2)
    saved(run, "best-00000009.pt", step=9)
    file = link_newest(run, other)
    assert file is not None
    assert (other / file).samefile(state)
    state.unlink()
    assert (other / file).read_bytes() == b"run step-00000004.pt"
    names = sorted(path.name for path in (other / "checkpoints").iterdir())
    stem = Path(file).stem
    assert names == [f"{stem}-best-00000002.pt", f"{stem}.pt"]


def test_each_decision_has_a_name_of_its_own(run: Path, other: Path) -> None:
    saved(run, "step-00000004.pt", step=4)
    assert link_newest(run, other) != link_newest(run, other)


def test_where_links_fail_it_is_copied(run: Path, other: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(95, "not supported")

    state = saved(run, "step-00000004.pt", step=4)
    monkeypatch.setattr(os, "link", refuse)
    file = link_newest(run, other)
    assert file is not None
    assert (other / file).read_bytes() == state.read_bytes()
    assert not (other / file).samefile(state)


def test_what_is_pruned_meanwhile_is_looked_for_again(run: Path, other: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from hpo_cli.sweep import adopting

    first = saved(run, "step-00000004.pt", step=4)
    real, calls = adopting.link_state, []

    def pruned(state: Path, folder: Path, name: str) -> str:
        calls.append(state.name)
        if len(calls) == 1:
            saved(run, "step-00000008.pt", step=8)
            first.unlink()
        return real(state, folder, name)

    monkeypatch.setattr(adopting, "link_state", pruned)
    file = link_newest(run, other)
    assert file is not None
    assert (other / file).read_bytes() == b"run step-00000008.pt"
    assert calls == ["step-00000004.pt", "step-00000008.pt"]


def test_a_symbolic_link_in_the_way_is_refused(run: Path, tmp_path: Path) -> None:
    (tmp_path / "strange").mkdir()
    (tmp_path / "strange/checkpoints").symlink_to(tmp_path)
    with pytest.raises(UserError, match="symbolic link"):
        link_state(saved(run, "step-00000004.pt", step=4), tmp_path / "strange", "x.pt")


def test_it_imports_no_torch() -> None:
    code = "import sys, hpo_cli.sweep.adopting; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, text=True, capture_output=True, check=True)
    assert done.stdout.strip() == "False"
