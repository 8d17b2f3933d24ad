"""What a machine has room for."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from hpo_cli.sweep.executors import local_slots
from hpo_cli.sweep.executors.local_slots import cores, default_slots, gpu_of, gpus_for, visible_gpus

if TYPE_CHECKING:
    from pathlib import Path


def plan(**trainer: Any) -> dict[str, Any]:
    return {"trainer": {"accelerator": "auto", "devices": 1, "threads": None, **trainer}}


def with_torch(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, cuda: str) -> None:
    (tmp_path / "version.py").write_text(
        f"__version__ = '2'\ncuda: Optional[str] = {cuda}\nhip: Optional[str] = None\n"
    )
    found = SimpleNamespace(submodule_search_locations=[str(tmp_path)])
    monkeypatch.setattr(local_slots.importlib.util, "find_spec", lambda _: found)


@pytest.mark.parametrize(
    ("given", "names"), [("0,2", ("0", "2")), ("", ()), ("-1", ()), ("GPU-ab, 1,-1,3", ("GPU-ab", "1"))]
)
def test_the_gpus_are_those_that_cuda_would_show(
    given: str, names: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with_torch(monkeypatch, tmp_path, "'12.8'")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", given)
    assert visible_gpus() == names


def test_the_driver_says_how_many_there_are(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with_torch(monkeypatch, tmp_path, "'12.8'")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(local_slots, "_DRIVER", tmp_path / "gpus")
    monkeypatch.setattr(local_slots.shutil, "which", lambda _: None)
    assert visible_gpus() == ()
    for name in ("0000:01:00.0", "0000:02:00.0"):
        (tmp_path / "gpus" / name).mkdir(parents=True)
    assert visible_gpus() == ("0", "1")


def test_a_torch_without_cuda_has_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with_torch(monkeypatch, tmp_path, "None")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    assert visible_gpus() == ()


@pytest.mark.parametrize(
    ("trainer", "gpus", "num_cores", "slots"),
    [
        ({}, ("0", "1", "2"), 64, 3),
        ({"devices": 2}, ("0", "1", "2", "3"), 64, 2),
        ({"accelerator": "cpu"}, ("0", "1"), 4, 4),
        ({}, (), 64, 8),
        ({"threads": 3}, (), 8, 2),
        ({"threads": 16}, (), 8, 1),
    ],
)
def test_a_slot_is_a_gpu_or_a_share_of_the_cores(
    trainer: dict[str, Any], gpus: tuple[str, ...], num_cores: int, slots: int
) -> None:
    assert default_slots(plan(**trainer), gpus=gpus, num_cores=num_cores) == slots


def test_each_slot_has_its_own_gpu_and_more_slots_share_them() -> None:
    assert [gpu_of(slot, gpus=("0", "2")) for slot in range(3)] == ["0", "2", "0"]
    assert [gpu_of(slot, gpus=("0", "1", "2", "3"), devices=2) for slot in range(2)] == ["0,1", "2,3"]
    assert gpu_of(0, gpus=()) is None


def test_runs_on_the_cpu_have_no_use_for_gpus() -> None:
    assert gpus_for(plan(accelerator="cpu"), ("0",)) == ()
    assert gpus_for(plan(accelerator="gpu"), ("0",)) == ("0",)


def test_there_is_a_core() -> None:
    assert cores() >= 1
