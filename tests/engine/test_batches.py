"""Both batch sources give the same batches, each sample once an epoch, from any place and in any number of shards."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from hpo_cli.components.data.arrays import Split
from hpo_cli.engine import batches as room
from hpo_cli.engine.batches import DeviceBatches, Shard, WorkerBatches, shuffled, source, tensors
from hpo_cli.engine.randomness import epoch_order
from tests.engine.plans import arrays, finish, new_loop, plan, rows_of, trained, varied, weights_of

if TYPE_CHECKING:
    from hpo_cli.engine.batches import BatchSource, Pair

CPU = torch.device("cpu")
N = 53
X = torch.arange(N * 6, dtype=torch.float32).reshape(N, 2, 3)
Y = torch.arange(N)
WHOLE = Shard()


def workers(shard: Shard = WHOLE, *, num_workers: int = 0) -> WorkerBatches:
    return WorkerBatches((X, Y), order=shuffled(5), shard=shard, device=CPU, num_workers=num_workers)


def device(shard: Shard = WHOLE) -> DeviceBatches:
    return DeviceBatches((X, Y), order=shuffled(5), shard=shard)


def walk(source: BatchSource, epoch: int = 0, *, start: int = 0, batch_size: int = 8) -> list[Pair]:
    return list(source.batches(epoch, start=start, batch_size=batch_size))


def same(a: list[Pair], b: list[Pair]) -> bool:
    return len(a) == len(b) and all(
        torch.equal(x, u) and torch.equal(y, v) for (x, y), (u, v) in zip(a, b, strict=True)
    )


def rows(batches: list[Pair]) -> list[int]:
    return torch.cat([y for _, y in batches]).tolist()


@pytest.mark.parametrize("batch_size", [1, 8, 52, 53, 99])
def test_every_sample_comes_once_an_epoch_in_the_order_of_the_seed(batch_size: int) -> None:
    for epoch in range(3):
        found = walk(device(), epoch, batch_size=batch_size)
        assert rows(found) == epoch_order(N, seed=5, epoch=epoch).tolist()
        assert sorted(rows(found)) == list(range(N))
        assert all(torch.equal(x, X[y]) for x, y in found)
        assert [len(y) for _, y in found[:-1]] == [batch_size] * (len(found) - 1)


def test_epochs_and_seeds_have_orders_of_their_own() -> None:
    orders = {tuple(epoch_order(N, seed=seed, epoch=epoch).tolist()) for seed in range(5) for epoch in range(5)}
    assert len(orders) == 25


def test_an_order_does_not_touch_the_generator_that_models_use() -> None:
    before = torch.get_rng_state()
    walk(device())
    walk(workers())
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("start", [0, 1, 8, 24, 52, 53])
def test_a_walk_from_a_place_is_the_rest_of_a_whole_walk(start: int) -> None:
    whole = rows(walk(device(), 2))
    for kind in (device(), workers()):
        assert (rows(walk(kind, 2, start=start)) if start < N else []) == whole[start:]


@pytest.mark.parametrize("bytes_at_once", [1, 24, 24 * 20, 24 * 53])
def test_pieces_of_any_size_give_the_same_batches(bytes_at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = walk(device())
    monkeypatch.setattr(room, "GATHER_BYTES", bytes_at_once)
    assert same(walk(device()), wanted)


@pytest.mark.parametrize("world", [1, 2, 3])
def test_shards_cover_each_batch_between_them(world: int) -> None:
    shards = [Shard(rank, world) for rank in range(world)]
    for kind in (device, workers):
        parts = [walk(kind(shard), 1, batch_size=13) for shard in shards]
        for i, (_, whole) in enumerate(walk(device(), 1, batch_size=13)):  # the last batch has a single sample
            shares = [part[i][1].tolist() for part in parts]
            counts = [shard.count(len(whole)) for shard in shards]
            assert [len(share) for share in shares] == [max(1, count) for count in counts]
            kept = [row for share, count in zip(shares, counts, strict=True) for row in share[:count]]
            assert sorted(kept) == sorted(whole.tolist())
            assert max(counts) - min(counts) <= 1


def test_without_the_shuffle_of_the_epoch_the_order_would_repeat() -> None:
    assert not same(walk(device(), 0), walk(device(), 1))


def test_worker_processes_give_the_same_batches_and_can_be_left_in_the_middle() -> None:
    loader = workers(num_workers=2)
    for epoch, start in ((0, 0), (1, 16), (0, 3)):
        assert same(walk(loader, epoch, start=start), walk(device(), epoch, start=start))
    begun = loader.batches(0, start=0, batch_size=4)
    next(begun)
    assert same(walk(loader, 3, batch_size=5), walk(device(), 3, batch_size=5))


SHORT = ("data.subset=0.1", "epochs=2", "model.width=16", "regularization.dropout=0.2", "trainer.log_every_steps=1")


@pytest.mark.parametrize("num_workers", [0, 2])
def test_training_from_workers_ends_with_the_same_bits(num_workers: int) -> None:
    made = plan(*SHORT)
    split = Split(*(part.numpy() for part in arrays(made, "train")))
    keys = {"order": shuffled(made.seed), "shard": WHOLE, "device": CPU, "dtype": torch.float32}
    train = source(split, **keys, placement="workers", num_workers=num_workers)
    assert isinstance(train, WorkerBatches)
    loop, wanted = finish(new_loop(made, train=train)), trained(made)
    assert (weights_of(loop), rows_of(loop)) == (weights_of(wanted), rows_of(wanted))
    assert weights_of(trained(varied(made, "", seed=1))) != weights_of(wanted)


@pytest.mark.parametrize(("placement", "kind"), [("auto", DeviceBatches), ("device", DeviceBatches)])
def test_on_a_cpu_the_data_stays_in_memory(placement: str, kind: type) -> None:
    split = Split(np.zeros((4, 3), np.float32), np.zeros(4, np.int64))
    keys = {
        "order": shuffled(0),
        "shard": WHOLE,
        "device": CPU,
        "dtype": torch.float32,
        "num_workers": os.cpu_count() or 1,
    }
    assert isinstance(source(split, **keys, placement=placement), kind)


def test_tensors_keep_class_numbers_whole_and_give_the_rest_its_precision() -> None:
    x, y = tensors(Split(np.ones((2, 3), np.float32), np.array([0, 1])), device=CPU, dtype=torch.float64)
    assert (x.dtype, y.dtype) == (torch.float64, torch.int64)
    targets = np.ones((2, 1), np.float32)
    assert (
        tensors(Split(np.ones((2, 3), np.float32), targets), device=CPU, dtype=torch.float64)[1].dtype == torch.float64
    )
