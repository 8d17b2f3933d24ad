"""Finite differences: closed forms, kinks, whole models, and gradients that are wrong on purpose."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pytest
import torch

from hpo_cli.engine.gradcheck import STEP_SIZE, TOLERANCE, GradientCheck, check_gradients, compare
from hpo_cli.errors import ConfigError
from tests.engine.plans import plan

if TYPE_CHECKING:
    from pathlib import Path

SMOOTH = {
    "square": (lambda x: (x + 2) ** 2, 4.0),
    "exponential": (lambda x: math.exp(3 * x), 3.0),
    "constant": (lambda x: 5.0 + 0 * x, 0.0),
    "large offset": (lambda x: 1000.0 + math.sin(x), 1.0),
    "tiny slope": (lambda x: 1e-12 * x, 0.0),
}


@pytest.mark.parametrize("name", SMOOTH)
def test_a_right_slope_is_good(name: str) -> None:
    function, slope = SMOOTH[name]
    found = compare(slope, function)
    assert found.verdict == "ok"
    assert found.error <= TOLERANCE


@pytest.mark.parametrize("factor", [0.999, 1.001, 0.0, -1.0, 2.0])
@pytest.mark.parametrize("name", ["square", "exponential", "large offset"])
def test_a_wrong_slope_is_bad(name: str, factor: float) -> None:
    function, slope = SMOOTH[name]
    assert compare(factor * slope, function).verdict == "bad"


@pytest.mark.parametrize("place", [0.0, 0.3 * STEP_SIZE, -0.3 * STEP_SIZE, 0.03 * STEP_SIZE])
@pytest.mark.parametrize("slope", [0.0, 1.0])
def test_at_a_kink_neither_side_is_wrong(place: float, slope: float) -> None:
    found = compare(slope, lambda x: 3.0 + max(0.0, x - place))
    assert found.verdict in ("kink", "ok")
    assert compare(0.5, lambda x: 3.0 + max(0.0, x - 10 * STEP_SIZE)).verdict == "bad"


def checked(*words: str, samples: int = 6, entries: int = 3) -> GradientCheck:
    return check_gradients(plan(*words), samples=samples, entries=entries)


SMALL_CNN = ("model=cnn", "model.depth=1", "model.channels=4")
MODELS: dict[str, tuple[str, ...]] = {
    "dropout and penalties": (
        "model.width=8",
        "regularization.dropout=0.4",
        "regularization.l1=1e-3",
        "regularization.l2=0.01",
    ),
    "batch norm": (*SMALL_CNN, "model.norm=batch"),
    "smoothed focal": ("model.width=8", "loss=focal", "regularization.label_smoothing=0.1"),
    "center loss": ("model.width=8", "loss=cross_entropy_center", "loss.weight=1"),
    "one logit": ("model.width=8", "data=breast_cancer", "loss=bce"),
    "numbers": ("model.width=8", "data=diabetes", "loss=huber"),
    "maxout": ("model.width=8", "model.activation=maxout"),
}


@pytest.mark.parametrize("name", MODELS)
def test_the_gradients_of_our_models_are_right(name: str) -> None:
    found = checked(*MODELS[name])
    assert found.bad == ()
    assert any(tensor.verdict == "ok" for tensor in found.tensors)
    assert any(tensor.norm > 0 for tensor in found.tensors)
    assert found.left_out == ()


@pytest.mark.parametrize("model", ["lstm", "gru"])
def test_a_network_that_reads_on_is_reset_between_two_looks(tmp_path: Path, model: str) -> None:
    path = tmp_path / "text.txt"
    path.write_text("to be, or not to be: that is the question.\n" * 60)
    words = ("data=text", f"data.path={path}", "data.window=8", f"model={model}", "model.width=6", "model.embedding=4")
    assert checked(*words, "batch_size=8", entries=2).bad == ()


def test_every_trained_tensor_is_looked_at_and_no_other() -> None:
    found = checked("model.width=8", "finetune.freeze=1")
    assert [tensor.name for tensor in found.tensors] == ["linear1.weight", "linear1.bias", "head.weight", "head.bias"]
    assert [tensor.compared for tensor in found.tensors] == [4, 4, 4, 4]
    assert found.left_out == ("frozen layers",)
    assert found.tensors[0].shape == (8, 8)


def test_mixing_is_named_as_left_out() -> None:
    assert checked("model.width=8", "regularization.mixup=0.2").left_out == ("regularization.mixup=0.2",)


def test_the_loss_is_that_of_the_batch() -> None:
    calm, noisy = checked("model.width=8"), checked("model.width=8", "regularization.l2=1")
    assert noisy.loss > calm.loss
    assert checked("model.width=8").to_dict() == calm.to_dict()


def test_more_samples_than_there_are_is_refused() -> None:
    with pytest.raises(ConfigError, match="--samples=5000: must not exceed the 1257 training samples"):
        checked(samples=5000)


class Wrong(torch.autograd.Function):
    """The identity with a gradient that is 1 % too large."""

    @staticmethod
    def forward(_: Any, x: torch.Tensor) -> torch.Tensor:
        return x.clone()

    @staticmethod
    def backward(_: Any, gradient: torch.Tensor) -> torch.Tensor:
        return 1.01 * gradient


def test_a_wrong_backward_is_found_in_what_lies_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    relu = torch.nn.ReLU.forward
    monkeypatch.setattr(torch.nn.ReLU, "forward", lambda self, x: Wrong.apply(relu(self, x)))
    found = checked("model.width=8", "model.depth=1")
    assert {tensor.name for tensor in found.bad} == {"linear0.weight", "linear0.bias"}
    assert all(tensor.error == pytest.approx(0.01 / 1.01, rel=1e-2) for tensor in found.bad)
    assert not found.to_dict()["good"]
