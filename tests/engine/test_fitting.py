"""batch_size=auto."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hpo_cli.engine import fitting
from hpo_cli.engine.fitting import fitting_batch_size, largest_fitting
from hpo_cli.engine.trial import try_plan
from hpo_cli.errors import ConfigError, RunFailedError
from tests.engine.plans import SMALL, plan


@given(limit=st.integers(0, 5000), most=st.integers(1, 2000))
def test_the_largest_power_of_two_below_both_limits(limit: int, most: int) -> None:
    found = largest_fitting(lambda size: size <= limit, most=most)
    wanted = max((2**n for n in range(12) if 2**n <= min(limit, most)), default=0)
    assert found == wanted


def test_what_is_kept_grows_with_the_batch_and_leaves_weights_out() -> None:
    made, wide = plan("model.depth=1", "model.width=100"), plan("model.depth=1", "model.width=200")
    splits = fitting.load_splits(made.data)
    few, more = (fitting._kept_bytes(made, splits, size=size) for size in (8, 16))
    assert more == pytest.approx(2 * few, rel=0.1)
    activations = 4 * 8 * (64 + 100)  # the input and the hidden units, at the least
    assert activations <= few < activations + 4 * 64 * 100
    assert fitting._kept_bytes(wide, splits, size=8) > few


def test_memory_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    made = plan(*SMALL)
    monkeypatch.setattr(fitting, "available_bytes", lambda: 1 << 40)
    assert fitting_batch_size(made) == 64  # of 126 training samples
    sizes = []
    for megabytes in (1, 4):
        monkeypatch.setattr(fitting, "available_bytes", lambda m=megabytes: m << 15)
        sizes.append(fitting_batch_size(made))
    assert 1 <= sizes[0] < sizes[1] <= 64
    monkeypatch.setattr(fitting, "available_bytes", lambda: 100)
    with pytest.raises(RunFailedError, match="not even one sample"):
        fitting_batch_size(made)


def test_a_gpu_is_asked_with_whole_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a GPU the trial runs on the CPU, and memory ends where the test says so."""
    tried = []

    def step(plan, splits, *, size, device) -> None:  # type: ignore[no-untyped-def]
        tried.append(size)
        real(plan, splits, size=size, device=torch.device("cpu"))
        if size > 16:
            raise torch.OutOfMemoryError

    real = fitting._one_step
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    monkeypatch.setattr(fitting, "_one_step", step)
    assert fitting_batch_size(plan("trainer=default", *SMALL)) == 16
    assert tried == [2, 4, 8, 16, 32]


@pytest.mark.parametrize(("limit", "size"), [(64, 64), (2, 2)])
def test_batch_norm_is_not_asked_about_one_sample(monkeypatch: pytest.MonkeyPatch, limit: int, size: int) -> None:
    on_this_cpu(monkeypatch, limit=limit)
    assert fitting_batch_size(plan("trainer=default", *SMALL, "model.norm=batch")) == size


@pytest.mark.parametrize("norm", ["none", "batch"])
def test_one_sample_is_the_last_resort(monkeypatch: pytest.MonkeyPatch, norm: str) -> None:
    on_this_cpu(monkeypatch, limit=1)
    made = plan("trainer=default", *SMALL, f"model.norm={norm}")
    if norm == "none":
        assert fitting_batch_size(made) == 1
    else:
        with pytest.raises(RunFailedError, match="not even one sample"):
            fitting_batch_size(made)


def on_this_cpu(monkeypatch: pytest.MonkeyPatch, *, limit: int) -> None:
    """Pretend that there is a GPU, whose memory ends after `limit` samples."""
    real = fitting._one_step

    def step(plan, splits, *, size, device) -> None:  # type: ignore[no-untyped-def]
        real(plan, splits, size=size, device=torch.device("cpu"))
        if size > limit:
            raise torch.OutOfMemoryError

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    monkeypatch.setattr(fitting, "_one_step", step)


@pytest.mark.parametrize("words", [("model=cnn", "data=iris"), ("optimizer=adam", "loss=bce")])
def test_what_does_not_fit_together_is_said_as_check_says_it(words: tuple[str, ...]) -> None:
    made = plan(*words)
    said = []
    for ask in (try_plan, fitting_batch_size):
        with pytest.raises(ConfigError) as caught:
            ask(made)
        said.append(str(caught.value))
    assert said[0] == said[1]


def test_a_model_that_fails_on_samples_is_said_as_check_says_it(monkeypatch: pytest.MonkeyPatch) -> None:
    made = plan("model=cnn", "data.subset=0.1")
    monkeypatch.setattr(torch.nn.Conv2d, "forward", lambda *_: 1 / 0)
    said = []
    for ask in (try_plan, fitting_batch_size):
        with pytest.raises(ConfigError, match="fails on samples of shape") as caught:
            ask(made)
        said.append(str(caught.value))
    assert said[0] == said[1]


def test_all_targets_that_cannot_be_are_said_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    made = plan(*SMALL)
    model, loss = (replace(part, target="torch.nn.Nowhere") for part in (made.model, made.loss))
    monkeypatch.setattr(fitting, "load_splits", None)  # no data is read for these
    with pytest.raises(ConfigError) as caught:
        fitting_batch_size(replace(made, model=model, loss=loss))
    assert [problem.key for problem in caught.value.problems] == ["model._target_", "loss._target_"]
