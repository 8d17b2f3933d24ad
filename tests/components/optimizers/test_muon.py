"""Muon: which weights are hidden, orthogonal steps, AdamW beside them, and torch's own Muon."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from hpo_cli.components.models.mlp import MLP
from hpo_cli.components.optimizers.muon import Muon, hidden_weights, orthogonal


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def give_gradients(model: nn.Module, *, seed: int) -> None:
    for index, weight in enumerate(model.parameters()):
        weight.grad = drawn(*weight.shape, seed=100 * seed + index)


def three_layers() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 3))


def names_of(model: nn.Module) -> list[str]:
    hidden = hidden_weights(model)
    return [name for name, weight in model.named_parameters() if weight in hidden]


class Tied(nn.Module):
    """A language model whose head is its embedding, with a learned position and a norm."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(10, 4)
        self.position = nn.Parameter(torch.zeros(7, 4))
        self.up, self.down, self.norm = nn.Linear(4, 16), nn.Linear(16, 4), nn.LayerNorm(4)
        self.head = nn.Linear(4, 10)
        self.head.weight = self.embedding.weight


def test_neither_the_first_layer_nor_the_last_is_hidden() -> None:
    assert names_of(three_layers()) == ["2.weight"]
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, 4), nn.Linear(4, 2))
    assert names_of(net) == ["1.weight", "3.weight"]
    assert names_of(Tied()) == ["up.weight", "down.weight"]


def test_two_layers_have_nothing_hidden() -> None:
    assert names_of(nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2))) == []
    assert names_of(nn.Linear(4, 4)) == []


def test_our_mlp_has_a_hidden_matrix() -> None:
    model = MLP(input_shape=(64,), num_outputs=10, depth=3, width=16)
    shapes = [tuple(weight.shape) for weight in hidden_weights(model)]
    assert shapes == [(16, 16)] * 2


@pytest.mark.parametrize("shape", [(8, 8), (20, 5), (5, 20)])
def test_a_step_is_nearly_orthogonal(shape: tuple[int, int]) -> None:
    matrix = drawn(*shape)
    values = torch.linalg.svdvals(orthogonal(matrix))
    assert values.min() > 0.6
    assert values.max() < 1.3
    left, _, right = torch.linalg.svd(matrix, full_matrices=False)
    aligned = (orthogonal(matrix) * (left @ right)).sum() / values.sum()
    assert aligned > 0.98
    spread = torch.linalg.svdvals(matrix)
    assert spread.max() / spread.min() > 1.9  # of the matrix itself


def test_a_gradient_of_zeros_moves_nothing() -> None:
    assert torch.equal(orthogonal(torch.zeros(3, 4)), torch.zeros(3, 4))


def test_matrices_move_as_torchs_own_muon_moves_them() -> None:
    """torch computes the iteration in bfloat16, hence about 1 % of a step; lr and decay are those of both."""
    model, twin = three_layers(), three_layers()
    ours = Muon(model.parameters(), model=model, lr=0.02, momentum=0.9, weight_decay=0.1)
    torchs = torch.optim.Muon([twin[2].weight], lr=0.02, momentum=0.9, weight_decay=0.1)
    start = model[2].weight.detach().clone()
    for seed in range(5):
        give_gradients(model, seed=seed)
        give_gradients(twin, seed=seed)
        ours.step()
        torchs.step()
    moved = model[2].weight.detach() - start
    torch.testing.assert_close(moved, twin[2].weight.detach() - start, rtol=0, atol=0.02 * moved.abs().max().item())


def test_everything_else_moves_as_torchs_adamw_moves_it() -> None:
    model, twin = three_layers(), three_layers()
    ours = Muon(model.parameters(), model=model, lr=0.1, adamw_share=0.05, weight_decay=0.1)
    torchs = torch.optim.AdamW(twin.parameters(), lr=0.005, betas=(0.9, 0.95), weight_decay=0.1)
    for seed in range(5):
        give_gradients(model, seed=seed)
        give_gradients(twin, seed=seed)
        ours.step()
        torchs.step()
    for (name, weight), expected in zip(model.named_parameters(), twin.parameters(), strict=True):
        close = torch.allclose(weight, expected, rtol=1e-5, atol=1e-6)
        assert close == (name != "2.weight")


def test_kernels_are_a_matrix_of_outputs_by_the_rest() -> None:
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Conv2d(2, 6, 3), nn.Linear(6, 2))
    flat = nn.Sequential(nn.Linear(1, 18), nn.Linear(18, 6), nn.Linear(6, 2))
    flat[1].weight.data = model[1].weight.detach().flatten(1).clone()
    for net in (model, flat):
        optimizer = Muon(net.parameters(), model=net)
        net[1].weight.grad = drawn(6, 18).view_as(net[1].weight)
        optimizer.step()
    assert torch.equal(model[1].weight.flatten(1), flat[1].weight)


def test_tall_matrices_take_longer_steps() -> None:
    """sqrt(rows / columns): a matrix of 16 x 4 moves by singular values near 2, its transpose by 1."""
    for shape, size in (((16, 4), 2.0), ((4, 16), 1.0)):
        rows, columns = shape
        model = nn.Sequential(nn.Linear(3, columns), nn.Linear(columns, rows), nn.Linear(rows, 2))
        start = model[1].weight.detach().clone()
        optimizer = Muon(model.parameters(), model=model, lr=1.0, weight_decay=0.0)
        model[1].weight.grad = drawn(*shape)
        optimizer.step()
        moved = torch.linalg.svdvals(model[1].weight.detach() - start)
        assert moved.mean().item() == pytest.approx(size, rel=0.2)


def test_a_split_group_keeps_its_keys_in_both_parts() -> None:
    model = three_layers()
    first = {"params": [model[0].weight, model[2].weight], "lr_scale": 0.5, "decayed": True}
    bias = {"params": [model[0].bias], "weight_decay": 0.0, "decayed": False}
    optimizer = Muon([first, bias], model=model, lr=0.1, adamw_share=0.2, weight_decay=0.3)
    hidden, other, spared = optimizer.param_groups
    assert (hidden["orthogonal"], other["orthogonal"], spared["orthogonal"]) == (True, False, False)
    assert (hidden["params"], other["params"]) == ([model[2].weight], [model[0].weight])
    assert [group["decayed"] for group in optimizer.param_groups] == [True, True, False]
    assert [group.get("lr_scale", 1.0) for group in optimizer.param_groups] == pytest.approx([0.5, 0.1, 0.2])
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.05, 0.01, 0.02])
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.3, 0.3, 0.0]
