"""Mean predictions against scikit-learn and forward passes by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, log_loss, mean_absolute_error, r2_score

from hpo_cli.components.data.arrays import Split
from hpo_cli.engine.ensemble import Ensemble, examine_together, validate_together
from hpo_cli.record import ledger
from tests.engine.saved_runs import saved_run

if TYPE_CHECKING:
    from pathlib import Path

    from hpo_cli.engine.saved import Saved

ROWS = "".join(f"{i % 13},{(i * 7) % 11},{'ab'[i % 2]},{i % 13 * 10 + 500}\n" for i in range(120))
DIABETES = ("data=diabetes", "loss=mse", "model.width=8")


def outputs_of(saved: Saved, part: str) -> np.ndarray:
    saved.system.model.eval()
    with torch.no_grad():
        return saved.system.model(saved.part(part)[0]).double().numpy()


def softmax(outputs: np.ndarray) -> np.ndarray:
    powers = np.exp(outputs - outputs.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


def sigmoid(outputs: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-outputs))


def in_units(saved: Saved, values: np.ndarray, column: int = 0) -> np.ndarray:
    spec = saved.splits.spec
    return values * spec.target_scale[column] + spec.target_mean[column]


def three(*words: str, outputs: Path) -> list[Saved]:
    return [saved_run(*words, outputs=outputs, seed=seed) for seed in range(3)]


def test_probabilities_of_classes_are_averaged(tmp_path: Path) -> None:
    runs = three("model.width=16", outputs=tmp_path)
    found = examine_together(runs, known={})
    for part, metrics in (("val", found.val), ("test", found.test)):
        y = runs[0].part(part)[1].numpy()
        mean = np.mean([softmax(outputs_of(saved, part)) for saved in runs], axis=0)
        assert metrics["accuracy"] == accuracy_score(y, mean.argmax(1))
        assert metrics["loss"] == pytest.approx(log_loss(y, mean, labels=range(10)))
        logits = np.mean([outputs_of(saved, part) for saved in runs], axis=0)
        assert metrics["loss"] != pytest.approx(log_loss(y, softmax(logits), labels=range(10)), rel=1e-4)


def test_one_logit_and_two_outputs_go_together(tmp_path: Path) -> None:
    data = ("data=breast_cancer", "model.width=8")
    one, two = (saved_run(*data, f"loss={loss}", outputs=tmp_path) for loss in ("bce", "cross_entropy"))
    found = validate_together([one, two])
    y = one.part("val")[1].numpy()
    p = (sigmoid(outputs_of(one, "val")[:, 0]) + softmax(outputs_of(two, "val"))[:, 1]) / 2
    assert found.val["loss"] == pytest.approx(log_loss(y, p))
    assert found.val["accuracy"] == accuracy_score(y, p > 0.5)


def test_numbers_are_averaged_in_the_units_of_the_file(tmp_path: Path) -> None:
    runs = three(*DIABETES, outputs=tmp_path)
    found = validate_together(runs)
    y = in_units(runs[0], runs[0].part("val")[1].double().numpy())
    mean = np.mean([in_units(saved, outputs_of(saved, "val")) for saved in runs], axis=0)
    assert set(found.val) == {"mae", "r2"}
    assert found.val["mae"] == pytest.approx(mean_absolute_error(y, mean))
    assert found.val["r2"] == pytest.approx(r2_score(y, mean))


def test_several_columns_are_averaged_each_in_its_way(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text(f"x,z,kind,price\n{ROWS}")
    words = ("data=csv", f"data.path={path}", "data.task=several", "data.target=[kind,price]", "loss=multi_task")
    runs = three(*words, "batch_size=8", "model.width=8", outputs=tmp_path)
    found = validate_together(runs)
    y = runs[0].part("val")[1].double().numpy()
    kinds = np.mean([softmax(outputs_of(saved, "val")[:, :2]) for saved in runs], axis=0)
    prices = np.mean([in_units(saved, outputs_of(saved, "val")[:, 2], 1) for saved in runs], axis=0)
    assert found.val["kind_accuracy"] == accuracy_score(y[:, 0], kinds.argmax(1))
    assert found.val["price_mae"] == pytest.approx(mean_absolute_error(in_units(runs[0], y[:, 1], 1), prices))


def test_folds_agree_on_the_test_split_though_each_standardised_for_itself(tmp_path: Path) -> None:
    runs = [saved_run(*DIABETES, "data.folds=3", f"data.fold={fold}", outputs=tmp_path) for fold in (1, 2)]
    assert runs[0].splits.spec.target_mean != runs[1].splits.spec.target_mean
    found = examine_together(runs, known={})
    assert found.val == {}
    y = in_units(runs[0], runs[0].part("test")[1].double().numpy())
    mean = np.mean([in_units(saved, outputs_of(saved, "test")) for saved in runs], axis=0)
    assert found.test["mae"] == pytest.approx(mean_absolute_error(y, mean), rel=1e-6)


@pytest.fixture
def text(tmp_path: Path) -> tuple[str, ...]:
    path = tmp_path / "text.txt"
    path.write_text("to be, or not to be: that is the question.\n" * 60)
    return ("data=text", f"data.path={path}", "data.window=8", "model.width=16", "batch_size=8")


def test_texts_are_averaged_position_by_position(tmp_path: Path, text: tuple[str, ...]) -> None:
    runs = [saved_run(*text, "model=transformer", outputs=tmp_path, seed=seed) for seed in range(2)]
    y = runs[0].part("val")[1].numpy().ravel()
    mean = np.mean([softmax(outputs_of(saved, "val")) for saved in runs], axis=0)
    flat = np.moveaxis(mean, 1, -1).reshape(len(y), -1)
    found = validate_together(runs).val
    assert found["accuracy"] == accuracy_score(y, flat.argmax(1))
    assert found["loss"] == pytest.approx(log_loss(y, flat, labels=range(flat.shape[1])))
    assert found["perplexity"] == pytest.approx(np.exp(found["loss"]))


@pytest.mark.parametrize("other", ["lstm", "transformer"])
def test_a_network_that_reads_on_reads_in_order(tmp_path: Path, text: tuple[str, ...], other: str) -> None:
    """Two equal networks agree with either alone, which has read the text in its order."""
    one, twin = (saved_run(*text, "model=lstm", outputs=tmp_path) for _ in range(2))
    alone = validate_together([one, twin])
    assert alone.val["loss"] == pytest.approx(alone.members[0].val["loss"], rel=1e-6)
    another = saved_run(*text, f"model={other}", outputs=tmp_path, seed=1)
    mixed, turned = validate_together([another, one]), validate_together([one, another])
    assert mixed.members[1].val == alone.members[0].val
    assert mixed.val == pytest.approx(turned.val, rel=1e-9)
    with torch.no_grad():
        one.system.model(one.part("val")[0][-16:])
    assert validate_together([one, another]).val == turned.val


@pytest.mark.parametrize(
    "words", [("regularization.label_smoothing=0.1",), ("loss=focal",), ("loss.class_weights=balanced",)]
)
def test_a_loss_that_is_no_likelihood_is_left_out(tmp_path: Path, words: tuple[str, ...]) -> None:
    runs = [saved_run("model.width=16", *words, outputs=tmp_path, seed=seed) for seed in range(2)]
    assert set(validate_together(runs).val) == {"accuracy"}


def examinations(saved: Saved) -> list[dict[str, object]]:
    return [event for event in ledger.read_ledger(saved.folder).events if event["event"] == "tested"]


def test_every_ledger_tells_of_its_own_test_and_of_the_ensembles(tmp_path: Path) -> None:
    runs = three("model.width=16", outputs=tmp_path)
    known = {"accuracy": 0.125, "loss": 3.0}
    found = examine_together(runs, known={runs[0].folder: known})
    assert found.members[0].test == known
    names = [saved.folder.name for saved in runs]
    for index, saved in enumerate(runs):
        *alone, together = examinations(saved)
        assert len(alone) == (0 if index == 0 else 1)
        assert all("ensemble" not in event for event in alone)
        assert together["ensemble"] == names
        assert together["metrics"] == {f"test/{name}": value for name, value in found.test.items()}
        assert together["judged"] == found.to_dict()


def test_validation_alone_leaves_the_test_split_unseen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = three("model.width=16", outputs=tmp_path)
    monkeypatch.setattr(type(runs[0]), "part", _only_val(type(runs[0]).part))
    found = validate_together(runs)
    assert isinstance(found, Ensemble)
    assert found.test == {}
    assert [examinations(saved) for saved in runs] == [[], [], []]


def _only_val(part: object) -> object:
    def read(saved: Saved, name: str) -> Split:
        assert name == "val"
        return part(saved, name)  # type: ignore[operator, no-any-return]

    return read
