"""Cross-validation: one command, a run a fold, mean and deviation, one parent folder."""

from __future__ import annotations

import json
import shutil
import statistics
from typing import TYPE_CHECKING, Any

import pytest

from hpo_cli.cli import main
from hpo_cli.errors import RunFailedError
from hpo_cli.record.runs import scan
from hpo_cli.verbs import train

if TYPE_CHECKING:
    from pathlib import Path

    from hpo_cli.engine.stop import StopFlag
    from hpo_cli.verbs.composing import Composed

WORDS = ("data.folds=3", "epochs=2", "model.width=8", "trainer=cpu", "trainer.threads=1", "name=crossed")


@pytest.fixture(scope="module")
def crossed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The parent folder of a cross-validation in three folds."""
    outputs = tmp_path_factory.mktemp("outputs")
    assert main([*WORDS, f"outputs={outputs}"]) == 0
    (parent,) = (outputs / "crossed").iterdir()
    return parent


def result(run: Path) -> Any:
    return json.loads((run / "result.json").read_text())


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


def test_a_verb_for_runs_points_to_the_one_for_folds(crossed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", str(crossed)]) == 2
    assert f"`hpo-run folds {crossed}`" in capsys.readouterr().err


def test_what_is_no_cross_validation_is_refused(crossed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["folds", str(crossed / f"{crossed.name}-1")]) == 2
    assert "is no cross-validation" in capsys.readouterr().err


def test_a_fold_without_a_result_is_named(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (copy / f"{copy.name}-2" / "result.json").unlink()
    assert main(["folds", str(copy)]) == 2
    assert f"{copy.name}-2: fold 2 has no readable result.json" in capsys.readouterr().err


@pytest.fixture
def copy(crossed: Path, tmp_path: Path) -> Path:
    """A cross-validation of one's own, to be damaged."""
    return shutil.copytree(crossed, tmp_path / crossed.name)


def rewrite(run: Path, **values: Any) -> None:
    (run / "result.json").write_text(json.dumps({**result(run), **values}))


@pytest.mark.parametrize("status", ["failed", "interrupted"])
def test_a_fold_that_has_not_finished_is_named(copy: Path, status: str, capsys: pytest.CaptureFixture[str]) -> None:
    rewrite(copy / f"{copy.name}-2", status=status)
    assert main(["folds", str(copy)]) == 2
    said = capsys.readouterr()
    assert f"{copy.name}-2: fold 2 is {status}, and only finished folds" in said.err
    assert said.out == ""


@pytest.mark.parametrize(("gone", "words"), [((1,), "fold 1 of 3 missing"), ((2, 3), "folds 2, 3 of 3 missing")])
def test_folds_of_the_plan_that_are_missing_are_named(
    copy: Path, gone: tuple[int, ...], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for fold in gone:
        shutil.rmtree(copy / f"{copy.name}-{fold}")
    assert main(["folds", str(copy)]) == 2
    assert words in capsys.readouterr().err


def test_a_metric_that_was_not_finite_is_shown_as_such(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = copy / f"{copy.name}-2"
    objective = {**result(run)["objective"], "value": None}
    rewrite(run, metrics={**result(run)["metrics"], "val/loss": None}, objective=objective)
    assert main(["folds", str(copy)]) == 0
    out = capsys.readouterr().out
    (loss,) = (text for text in out.splitlines() if "val/loss" in text)
    assert "nan ± nan" in loss
    assert f"{objective['name']}: nan ± nan" in out
    (accuracy,) = (text for text in out.splitlines() if "  val/accuracy" in text)
    assert "nan" not in accuracy
    assert main(["folds", str(copy), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["metrics"]["val/loss"]
    assert (found["mean"], found["deviation"], found["values"][1]) == (None, None, None)
    assert found["values"][0] == result(copy / f"{copy.name}-1")["metrics"]["val/loss"]


def test_reading_writes_nothing(copy: Path) -> None:
    (copy / "folds.json").unlink()
    assert main(["folds", str(copy)]) == main(["folds", str(copy), "--json"]) == 0
    assert not (copy / "folds.json").exists()


def test_a_fold_that_fails_ends_the_command_and_keeps_the_folds_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real = train.train_one

    def failing(found: Composed, stop: StopFlag, *, at: str | None = None) -> int:
        if found.plan.data.fold == 2:
            raise RunFailedError("train/loss was nan")
        return real(found, stop, at=at)

    monkeypatch.setattr(train, "train_one", failing)
    parent = tmp_path / "mine"
    assert main([*WORDS[:5], f"hydra.run.dir={parent}"]) == 1
    assert "train/loss was nan" in capsys.readouterr().err
    assert [path.name for path in parent.iterdir()] == ["mine-1"]
    assert result(parent / "mine-1")["status"] == "finished"
    assert main(["folds", str(parent)]) == 2
    assert "folds 2, 3 of 3 missing" in capsys.readouterr().err


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
