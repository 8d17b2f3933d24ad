"""What a worker keeps between runs, and what it puts back."""

from __future__ import annotations

import logging
import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from hpo_cli.engine import worker_keep
from hpo_cli.engine.assembly import load_splits
from hpo_cli.engine.worker_keep import KeptSplits, Surface, resident_bytes
from tests.engine.plans import SMALL, plan

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """The plans whose data were read."""
    found: list[object] = []

    def counted(data: object, *, allow: tuple[str, ...]) -> object:
        found.append(data)
        return load_splits(data, allow=allow)  # type: ignore[arg-type]

    monkeypatch.setattr(worker_keep, "load_splits", counted)
    return found


def test_equal_plans_read_their_data_once(reads: list[object]) -> None:
    keep, data = KeptSplits(), plan(*SMALL).data
    first, second, own = keep(data), keep(plan(*SMALL, "lr=1").data), load_splits(data)
    keep(plan(*SMALL, "data.split_seed=7").data)
    assert len(reads) == 2
    for name in ("train", "val", "test"):
        for found in (first, second):
            np.testing.assert_array_equal(getattr(found, name).x, getattr(own, name).x)
            np.testing.assert_array_equal(getattr(found, name).y, getattr(own, name).y)
    assert first.spec == own.spec


def test_what_one_run_writes_into_its_data_no_other_sees() -> None:
    keep, data = KeptSplits(), plan(*SMALL).data
    first = keep(data)
    torch.from_numpy(first.train.x).fill_(7)
    first.spec.class_counts.clear()
    assert (first.train.x == 7).all()  # the run itself does
    second, own = keep(data), load_splits(data)
    np.testing.assert_array_equal(second.train.x, own.train.x)
    assert second.spec == own.spec


def test_old_data_give_way_to_new_ones(reads: list[object], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_keep, "KEPT_BYTES", 1)
    keep = KeptSplits()
    for seed in (1, 1, 2, 1):
        keep(plan(*SMALL, f"data.split_seed={seed}").data)
    assert len(reads) == 3


@pytest.fixture
def restored() -> Iterator[None]:
    surface = Surface()
    yield
    surface.restore()


@pytest.mark.usefixtures("restored")
def test_a_process_is_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    surface = Surface()
    torch.set_default_dtype(torch.float64)
    torch.set_grad_enabled(False)
    torch.set_num_threads(2)
    os.environ["HPO_TEST_LEFT"] = "1"
    warnings.simplefilter("ignore")
    handler = logging.FileHandler(tmp_path / "log")
    logging.getLogger().addHandler(handler)
    os.chdir("/")
    filters = list(warnings.filters)
    surface.restore()
    assert torch.get_default_dtype() == torch.float32
    assert torch.is_grad_enabled()
    assert torch.get_num_threads() == 1
    assert "HPO_TEST_LEFT" not in os.environ
    assert warnings.filters != filters
    assert handler not in logging.getLogger().handlers
    assert Path.cwd() == tmp_path


def test_no_run_begins_with_the_random_numbers_of_another() -> None:
    surface = Surface()
    draws = []
    for _ in range(2):
        torch.manual_seed(0)
        surface.restore()
        draws.append(torch.rand(4))
    assert not torch.equal(*draws)


def test_the_memory_of_a_process_is_more_than_that_of_torch() -> None:
    assert resident_bytes() > 50 << 20
