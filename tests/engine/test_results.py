"""Results of saved runs against a forward pass by hand, for every kind of task."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits
from sklearn.metrics import confusion_matrix
from torch.nn import functional

from hpo_cli.engine.findings import ClassFindings, NumberFindings
from hpo_cli.engine.pictures import SIGNAL_SHAPE, drawn_signal, pictures
from hpo_cli.engine.results import Results, results_of
from tests.engine.saved_runs import saved_run

if TYPE_CHECKING:
    from pathlib import Path

    from hpo_cli.engine.saved import Saved

ROWS = "".join(f"{i % 13},{(i * 7) % 11},{'ab'[i % 2]},{i % 13 * 10 + 500}\n" for i in range(120))


def outputs_of(saved: Saved, part: str) -> torch.Tensor:
    saved.system.model.eval()
    with torch.no_grad():
        found: torch.Tensor = saved.system.model(saved.part(part)[0])
    return found


def only_classes(results: Results) -> ClassFindings:
    (found,) = results.findings
    assert isinstance(found, ClassFindings)
    return found


def test_classes_are_counted_as_the_outputs_say(tmp_path: Path) -> None:
    saved = saved_run("model.width=16", outputs=tmp_path)
    results = results_of(saved, split="val", worst=5)
    outputs, (_, y) = outputs_of(saved, "val"), saved.part("val")
    found = only_classes(results)
    assert found.confusion.tolist() == confusion_matrix(y, outputs.argmax(1)).tolist()
    losses = functional.cross_entropy(outputs.double(), y, reduction="none")
    assert results.metrics["val"]["loss"] == pytest.approx(losses.mean().item())
    assert [mistake.loss for mistake in found.worst] == pytest.approx(
        [losses[mistake.index].item() for mistake in found.worst]
    )
    assert results.metrics["val"]["accuracy"] == found.confusion.trace() / len(y)


def test_both_splits_are_judged_and_the_wanted_one_is_explained(tmp_path: Path) -> None:
    saved = saved_run("data.subset=0.2", "model.width=16", outputs=tmp_path)
    for split in ("train", "val"):
        results = results_of(saved, split=split, worst=5)
        assert only_classes(results).confusion.sum() == results.samples == len(saved.part(split)[0])
        assert set(results.metrics) == {"train", "val"}


def test_the_test_split_is_never_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved = saved_run("model.width=16", outputs=tmp_path)
    read: list[str] = []
    part = type(saved).part
    monkeypatch.setattr(type(saved), "part", lambda self, name: (read.append(name), part(self, name))[1])
    results_of(saved, split="val", worst=5)
    assert set(read) == {"train", "val"}


def test_one_logit_tells_two_classes_apart(tmp_path: Path) -> None:
    saved = saved_run("data=breast_cancer", "loss=bce", "model.width=8", outputs=tmp_path)
    results = results_of(saved, split="val", worst=100)
    p = torch.sigmoid(outputs_of(saved, "val").double().squeeze(1))
    y = saved.part("val")[1]
    found = only_classes(results)
    assert found.class_names == tuple(load_breast_cancer().target_names)
    assert found.confusion.tolist() == confusion_matrix(y, p > 0.5).tolist()
    assert len(found.worst) == (y != (p > 0.5)).sum()
    for mistake in found.worst:
        wrong = p[mistake.index].item() if mistake.predicted == "benign" else 1 - p[mistake.index].item()
        assert mistake.probability == pytest.approx(wrong)
        assert mistake.loss == pytest.approx(-math.log(1 - wrong))


def test_numbers_come_in_the_units_of_the_file(tmp_path: Path) -> None:
    saved = saved_run("data=diabetes", "loss=mse", "model.width=8", outputs=tmp_path)
    results = results_of(saved, split="val", worst=4)
    (found,) = results.findings
    assert isinstance(found, NumberFindings)
    assert {round(one.true, 2) for one in found.worst} <= set(load_diabetes().target.tolist())
    assert found.summary["mae"] == pytest.approx(results.metrics["val"]["mae"], rel=1e-5)
    assert found.summary["r2"] == pytest.approx(results.metrics["val"]["r2"], rel=1e-5)
    sizes = [abs(one.residual) for one in found.worst]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] >= max(abs(predicted - true) for true, predicted in found.points) * (1 - 1e-9)


def test_several_columns_are_each_what_they_are(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text(f"x,z,kind,price\n{ROWS}")
    words = ("data=csv", f"data.path={path}", "data.task=several", "data.target=[kind,price]", "loss=multi_task")
    saved = saved_run(*words, "batch_size=8", "model.width=8", outputs=tmp_path)
    results = results_of(saved, split="train", worst=3)
    kind, price = results.findings
    assert isinstance(kind, ClassFindings)
    assert isinstance(price, NumberFindings)
    assert (kind.name, price.name, kind.class_names) == ("kind", "price", ("a", "b"))
    outputs, (_, y) = outputs_of(saved, "train"), saved.part("train")
    assert kind.confusion.tolist() == confusion_matrix(y[:, 0], outputs[:, :2].argmax(1)).tolist()
    assert price.summary["mae"] == pytest.approx(results.metrics["train"]["price_mae"], rel=1e-5)
    assert all(499.9 < one.true < 620.1 for one in price.worst)


@pytest.mark.parametrize("model", ["lstm", "transformer"])
def test_a_text_is_judged_token_by_token(tmp_path: Path, model: str) -> None:
    path = tmp_path / "text.txt"
    path.write_text("to be, or not to be: that is the question.\n" * 60)
    words = ("data=text", f"data.path={path}", "data.window=8", f"model={model}", "model.width=16", "batch_size=8")
    saved = saved_run(*words, outputs=tmp_path)
    with torch.no_grad():
        saved.system.model(saved.part("val")[0][-16:])  # what it read before makes no difference
    results = results_of(saved, split="val", worst=5)
    found, (_, y) = only_classes(results), saved.part("val")
    names = np.array(found.class_names)
    assert found.confusion.sum(1).tolist() == np.bincount(y.flatten(), minlength=len(names)).tolist()
    assert found.confusion.trace() / y.numel() == pytest.approx(results.metrics["val"]["accuracy"])
    assert found.losses.sum() / y.numel() == pytest.approx(results.metrics["val"]["loss"], rel=1e-6)
    assert math.exp(found.losses.sum() / y.numel()) == pytest.approx(results.metrics["val"]["perplexity"], rel=1e-6)
    for mistake in found.worst:
        assert mistake.position is not None
        assert names[y[mistake.index, mistake.position]] == mistake.true
    assert pictures(saved.splits.val, saved.splits.spec, [0]) == []


def test_pictures_are_the_images_of_before(tmp_path: Path) -> None:
    saved = saved_run("model.width=16", outputs=tmp_path)
    drawn = pictures(saved.splits.val, saved.splits.spec, range(5))
    originals = {np.rint(255 * image / 16).astype(np.uint8).tobytes() for image in load_digits().images}
    assert [image.shape for image in drawn] == [(64, 64)] * 5
    assert {image[::8, ::8].tobytes() for image in drawn} <= originals


def test_signals_are_drawn_from_bottom_to_top() -> None:
    height, width = SIGNAL_SHAPE
    page = drawn_signal(np.array([[0.0, 1.0]]), low=0.0, high=1.0)
    assert page[height - 1, 0] == page[0, width - 1] == 0
    assert page[0, 0] == page[height - 1, width - 1] == 240
    assert (page == 0).any(axis=0).all()


def test_rows_of_a_table_have_no_pictures(tmp_path: Path) -> None:
    saved = saved_run("data=diabetes", "loss=mse", "model.width=8", outputs=tmp_path)
    assert pictures(saved.splits.val, saved.splits.spec, [0, 1]) == []
