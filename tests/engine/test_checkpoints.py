"""Checkpoint files: plain, whole, refused when damaged."""

from __future__ import annotations

import itertools
import pickletools
import random
import zipfile
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import nn

from hpo_cli.engine import checkpoints
from hpo_cli.engine.stop import StopFlag
from hpo_cli.errors import UserError
from tests.engine.plans import SMALL, new_loop, plan, varied

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PLAIN = {
    "collections OrderedDict",
    "torch._utils _rebuild_tensor_v2",
    "torch FloatStorage",
    "torch LongStorage",
}


@pytest.fixture
def state() -> dict[str, Any]:
    loop = new_loop(varied(plan(*SMALL), "model", norm="batch"))
    loop.begin()
    loop.advance(3, StopFlag())
    loop.save()
    return loop._recorder.states[3]


@pytest.fixture
def path(state: dict[str, Any], tmp_path: Path) -> Path:
    file = tmp_path / "step-00000003.pt"
    checkpoints.save(file, state)
    return file


def equal(a: Any, b: Any) -> bool:
    if isinstance(a, torch.Tensor):
        return isinstance(b, torch.Tensor) and a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, dict):
        return isinstance(b, dict) and a.keys() == b.keys() and all(equal(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return type(a) is type(b) and len(a) == len(b) and all(map(equal, a, b))
    return type(a) is type(b) and a == b


def leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, dict | list | tuple):
        for item in value.values() if isinstance(value, dict) else value:
            yield from leaves(item)
    else:
        yield value


def globals_of(path: Path) -> set[str]:
    """Every name that unpickling the file would look up."""
    with zipfile.ZipFile(path) as file:
        (name,) = [name for name in file.namelist() if name.endswith("data.pkl")]
        return {str(argument) for code, argument, _ in pickletools.genops(file.read(name)) if code.name == "GLOBAL"}


def test_a_state_comes_back_as_it_went(path: Path, state: dict[str, Any]) -> None:
    assert equal(checkpoints.load(path), state)
    assert equal(torch.load(path, weights_only=True), state)
    assert not equal({**state, "finished": True}, state)


def test_it_holds_tensors_and_plain_types_alone(path: Path, state: dict[str, Any]) -> None:
    assert globals_of(path) <= PLAIN
    assert {type(leaf) for leaf in leaves(state)} <= {torch.Tensor, int, float, str, bool, type(None)}
    checkpoints.save(path, {"stranger": nn.Linear(1, 1)})
    assert not globals_of(path) <= PLAIN


def test_code_in_a_checkpoint_is_refused(tmp_path: Path) -> None:
    class Stranger:
        def __reduce__(self) -> tuple[Any, ...]:
            return (tmp_path.joinpath("ran").touch, ())

    torch.save({"model": Stranger()}, tmp_path / "a.pt")
    refused(tmp_path / "a.pt")
    assert not (tmp_path / "ran").exists()


def refused(path: Path) -> None:
    with pytest.raises(UserError) as caught:
        checkpoints.load(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    refused(tmp_path / "none.pt")
    refused(tmp_path)


@pytest.mark.parametrize(
    "content",
    [b"", b"\0" * 100, b"hello", b"\x80\x02.", b"\x80\x02}q\x00.", b"PK\x03\x04" + b"x" * 60, b"\x89HDF\r\n\x1a\n"],
)
def test_foreign_content_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.pt").write_bytes(content)
    refused(tmp_path / "a.pt")


def test_random_bytes_are_refused(tmp_path: Path) -> None:
    rng = random.Random(0)
    for _ in range(300):
        (tmp_path / "a.pt").write_bytes(rng.randbytes(rng.randrange(1, 80)))
        refused(tmp_path / "a.pt")


def test_other_torch_files_are_refused(tmp_path: Path) -> None:
    for value in (torch.zeros(2), [1, 2]):
        torch.save(value, tmp_path / "a.pt")
        refused(tmp_path / "a.pt")


def test_any_truncation_is_refused(path: Path) -> None:
    whole = path.read_bytes()
    for length in (*range(0, len(whole), len(whole) // 40), len(whole) - 1):
        path.write_bytes(whole[:length])
        refused(path)


def test_a_flipped_bit_is_refused_or_without_effect(path: Path, state: dict[str, Any]) -> None:
    whole, rng, refusals = path.read_bytes(), random.Random(1), 0
    for _ in range(300):
        damaged = bytearray(whole)
        damaged[rng.randrange(len(whole))] ^= 1 << rng.randrange(8)
        path.write_bytes(damaged)
        try:
            found = checkpoints.load(path)
        except UserError as error:
            assert "\n" not in str(error)  # noqa: PT017 - both ways are right
            refusals += 1
        else:
            assert equal(found, state)
    assert refusals > 100


def test_saving_replaces_the_file_whole_or_not_at_all(path: Path, state: dict[str, Any]) -> None:
    with pytest.raises(Exception, match="pickle"):
        checkpoints.save(path, {"model": (item for item in ())})
    assert equal(checkpoints.load(path), state)
    assert [file.name for file in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("keep", [0, 1, 2, 5])
def test_prune_keeps_the_newest(keep: int, tmp_path: Path) -> None:
    steps = [100, 9, 20, 3]
    for step in steps:
        (tmp_path / checkpoints.last_name(step)).touch()
        (tmp_path / checkpoints.best_name(step)).touch()
    checkpoints.prune(tmp_path, prefix="step-", keep=keep)
    kept = sorted(path.name for path in tmp_path.glob("step-*"))
    assert kept == [checkpoints.last_name(step) for step in sorted(steps)[4 - min(4, keep) :]]
    assert len(list(tmp_path.glob("best-*"))) == 4


def test_prune_counts_the_states_of_one_step_by_their_numbers(tmp_path: Path) -> None:
    names = [checkpoints.last_name(step, number) for step in (8, 9) for number in (*range(1, 12),)]
    for name in names:
        (tmp_path / name).touch()
    checkpoints.prune(tmp_path, prefix="step-", keep=3, older=2)
    left = ["step-00000008-11.pt", "step-00000009-8.pt", *(f"step-00000009-{number}.pt" for number in (9, 10, 11))]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(left)


def test_a_number_is_not_used_again_while_a_higher_one_is_there(tmp_path: Path) -> None:
    names = []
    for _ in range(4):
        names.append(checkpoints.free_last_name(tmp_path, 5))
        (tmp_path / names[-1]).touch()
        if len(names) == 2:
            (tmp_path / names[0]).unlink()
    assert names == ["step-00000005.pt", *(f"step-00000005-{number}.pt" for number in (2, 3, 4))]


def sha(**tensors: torch.Tensor) -> str:
    return checkpoints.weights_sha256(tensors.items())


def test_the_hash_of_weights_feels_everything() -> None:
    w = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    bit = w.clone()
    bit.view(torch.int32)[1, 1] ^= 1
    others = [
        sha(w=bit),
        sha(v=w),
        sha(w=w.reshape(4)),
        sha(w=w.t()),
        sha(w=w.view(torch.int32)),
        sha(w=w, v=w),
        sha(w=torch.tensor(1.0)),
        sha(w=torch.tensor(1)),
        sha(w=torch.tensor(-0.0)),
        sha(w=torch.tensor(0.0)),
        sha(w=torch.zeros(0)),
    ]
    assert len({sha(w=w), *others}) == 12


def test_the_hash_of_weights_does_not_feel_the_order_of_names_or_memory() -> None:
    w, v = torch.arange(6.0).reshape(2, 3), torch.ones(2)
    assert sha(w=w, v=v) == sha(v=v, w=w)
    assert sha(w=w.t().contiguous().t()) == sha(w=w)
    image = torch.arange(24.0).reshape(1, 2, 3, 4)
    assert sha(w=image.to(memory_format=torch.channels_last)) == sha(w=image)
    assert sha(w=w.to(torch.bfloat16)) != sha(w=w.to(torch.float16))


def test_a_snapshot_stays_as_it_was() -> None:
    w = torch.zeros(2, requires_grad=True)
    state = {"a": w, "b": [w.detach(), (1, "x")], "c": None}
    copied = checkpoints.snapshot(state)
    with torch.no_grad():
        w += 1
    assert equal(copied, {"a": torch.zeros(2), "b": [torch.zeros(2), (1, "x")], "c": None})
    assert not copied["a"].requires_grad


def test_older_states_lie_ever_thinner_towards_the_start() -> None:
    """Two weeks of a checkpoint every five minutes: minutes, hours and days ago are always there to go back to."""
    kept: list[int] = []
    for now in range(1, 4001):
        kept = [*checkpoints.spread([*kept, now][:-2], now=now, keep=4), *[*kept, now][-2:]]
        if now < 20:
            continue
        ages = [now - step for step in kept]
        assert len(kept) == 6
        assert ages[-2:] == [1, 0]
        assert ages[0] >= now / 30
        assert all(older / newer <= 40 for older, newer in itertools.pairwise(ages[:-1]))


def test_files_beyond_the_newest_are_thinned_out_and_no_others_touched(tmp_path: Path) -> None:
    for step in range(10, 100, 10):
        (tmp_path / checkpoints.last_name(step)).touch()
    (tmp_path / "kept-00000010.pt").touch()
    checkpoints.prune(tmp_path, prefix="step-", keep=1, older=4)
    assert [path.name for path in sorted(tmp_path.iterdir())] == [
        "kept-00000010.pt", *(checkpoints.last_name(step) for step in (40, 60, 70, 80, 90))
    ]  # fmt: skip
