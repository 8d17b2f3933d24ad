"""Cross-validation: one command, a run a fold, mean and deviation, one parent folder."""

from __future__ import annotations

import json
import statistics
from typing import TYPE_CHECKING

import pytest

from hpo_cli.cli import main
from hpo_cli.record.runs import scan

if TYPE_CHECKING:
    from pathlib import Path

WORDS = ("data.folds=3", "epochs=2", "model.width=8", "trainer=cpu", "trainer.threads=1", "name=crossed")


@pytest.fixture(scope="module")
def crossed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The parent folder of a cross-validation in three folds."""
    outputs = tmp_path_factory.mktemp("outputs")
    assert main([*WORDS, f"outputs={outputs}"]) == 0
    (parent,) = (outputs / "crossed").iterdir()
    return parent


def result(run: Path) -> dict[str, dict[str, float]]:
    return json.loads((run / "result.json").read_text())  # type: ignore[no-any-return]


def test_each_fold_is_an_ordinary_run(crossed: Path) -> None:
    runs = scan(crossed.parent.parent)
    assert sorted(run.id for run in runs) == [f"{crossed.name}-{fold}" for fold in (1, 2, 3)]
    assert {run.status for run in runs} == {"finished"}
    assert len({run.weights_sha256 for run in runs}) == 3


def test_the_summary_is_mean_and_sample_deviation(crossed: Path) -> None:
    found = json.loads((crossed / "folds.json").read_text())
    values = [result(crossed / run)["metrics"]["val/loss"] for run in found["runs"]]
    assert len(values) == 3
    assert found["metrics"]["val/loss"]["values"] == values
    assert found["metrics"]["val/loss"]["mean"] == pytest.approx(sum(values) / 3)
    assert found["metrics"]["val/loss"]["deviation"] == pytest.approx(statistics.stdev(values))
    assert len(set(values)) == 3


def test_it_is_shown_again_by_id_and_by_path(crossed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words in ([crossed.name, "--outputs", str(crossed.parent.parent)], [str(crossed)]):
        assert main(["folds", *words, "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["folds"] == 3
    assert main(["folds", str(crossed)]) == 0
    assert "±" in capsys.readouterr().out


def test_what_is_no_cross_validation_is_refused(crossed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["folds", str(crossed / f"{crossed.name}-1")]) == 2
    assert "is no cross-validation" in capsys.readouterr().err


def test_a_fold_without_a_result_is_named(crossed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import shutil

    copy = shutil.copytree(crossed, tmp_path / crossed.name)
    (copy / f"{crossed.name}-2" / "result.json").unlink()
    assert main(["folds", str(copy)]) == 2
    assert f"{crossed.name}-2: has no readable result.json" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("data.folds=1",), "data.folds=1"),
        (("data.folds=3", "data.fold=4"), "data.fold"),
        (("data.fold=1",), "data.fold"),
    ],
)
def test_folds_that_cannot_be_are_refused(
    words: tuple[str, ...], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*words, "epochs=1", f"outputs={tmp_path}"]) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.rglob("ledger.jsonl"))


def test_a_folder_of_ones_own_is_never_shared(crossed: Path, tmp_path: Path) -> None:
    assert main([*WORDS[:5], f"hydra.run.dir={tmp_path / 'mine'}"]) == 0
    assert (tmp_path / "mine" / "mine-3" / "result.json").exists()
    assert main([*WORDS[:5], f"hydra.run.dir={tmp_path / 'mine'}"]) == 2
