"""The negative control: the same comparison finds that stock Lightning does not resume exactly."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.resume.nursery import Nursery


@pytest.mark.slow
@pytest.mark.parametrize("words", [("0.2", "shuffled"), ("0.0", "shuffled"), ("0.2", "ordered")], ids="-".join)
def test_stock_lightning_is_found_different(words: tuple[str, str], nursery: Nursery, tmp_path: Path) -> None:
    answer = nursery.call("tests.resume.stock_lightning:main", *words, cwd=tmp_path)
    assert answer.code == 1, answer
    assert answer.out.startswith("model.layers.0.weight: 128 of 128 numbers differ; at [0, 0] ")
    assert list((tmp_path / "killed").glob("*step=10.ckpt"))  # what it was resumed from


@pytest.mark.slow
def test_without_a_kill_the_comparison_finds_it_the_same(nursery: Nursery, tmp_path: Path) -> None:
    answer = nursery.call("tests.resume.stock_lightning:main", "0.2", "shuffled", "unkilled", cwd=tmp_path)
    assert (answer.code, answer.out) == (0, "identical\n")
