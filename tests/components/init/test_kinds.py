from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from hpo_cli.components import init
from hpo_cli.errors import ConfigError


class EveryKind(nn.Module):
    """One layer of every kind that an initialisation tells apart."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(200, 100, padding_idx=3)
        self.recurrent = nn.LSTM(100, 64)
        self.convolution = nn.Conv1d(64, 100, 3)
        self.norm = nn.BatchNorm1d(100)
        self.linear = nn.Linear(100, 50)


KINDS = {
    "embedding": ("embedding.weight",),
    "recurrent": ("recurrent.weight_hh_l0",),
    "convolution": ("convolution.weight",),
    "linear": ("linear.weight", "recurrent.weight_ih_l0"),
}


def deviations(**keys: Any) -> dict[str, float]:
    """Each weight's deviation over 0.5, where 1 is that of the chosen init and others are far from it."""
    torch.manual_seed(0)
    net = EveryKind()
    init.normal(net, std=0.5, **keys)
    names = [name for of_kind in KINDS.values() for name in of_kind]
    return {name: net.get_parameter(name).std().item() / 0.5 for name in names}


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_takes_the_draw_that_is_named_for_it(kind: str) -> None:
    names = dict.fromkeys(KINDS, "normal")
    found = deviations(**{**names, kind: "truncated_normal"})
    assert {name for name, deviation in found.items() if deviation < 0.1} == set(KINDS[kind])
    assert all(
        deviation == pytest.approx(1.0, abs=0.05) for name, deviation in found.items() if name not in KINDS[kind]
    )


def test_embeddings_are_uniform_and_matrices_between_hidden_states_orthogonal() -> None:
    net = EveryKind()
    init.normal(net, std=0.5)
    weight = net.embedding.weight
    assert weight.abs().max() <= 0.1
    assert weight.std().item() == pytest.approx(0.1 / 3**0.5, rel=0.05)
    for gate in net.recurrent.weight_hh_l0.split(64):
        torch.testing.assert_close(gate @ gate.T, torch.eye(64), atol=1e-5, rtol=0)


def test_default_leaves_every_kind_as_torch_drew_it() -> None:
    net = EveryKind()
    before = {name: parameter.clone() for name, parameter in net.named_parameters()}
    init.default(net)
    assert all(torch.equal(before[name], parameter) for name, parameter in net.named_parameters())
    init.default(net, embedding="uniform")
    changed = {name for name, parameter in net.named_parameters() if not torch.equal(before[name], parameter)}
    assert changed == {"embedding.weight"}


def test_default_can_be_named_for_one_kind() -> None:
    net = EveryKind()
    before = net.linear.bias.clone()
    init.he_normal(net, linear="default")
    assert torch.equal(net.linear.bias, before)
    assert torch.count_nonzero(net.convolution.bias) == 0


def test_padding_stays_zero_and_biases_become_zero() -> None:
    net = EveryKind()
    init.xavier_normal(net, embedding="normal")
    assert torch.count_nonzero(net.embedding.weight[3]) == 0
    assert torch.count_nonzero(net.embedding.weight[4]) == 100
    assert all(torch.count_nonzero(p) == 0 for name, p in net.named_parameters() if "bias" in name)


@pytest.mark.parametrize("new_layer", [nn.RNN, nn.GRU, nn.LSTM, nn.RNNCell, nn.GRUCell, nn.LSTMCell])
def test_each_gate_is_drawn_for_itself(new_layer: Any) -> None:
    layer = new_layer(40, 80)
    init.xavier_normal(layer)
    stacked = {name: p for name, p in layer.named_parameters() if name.startswith("weight")}
    assert len(stacked) == 2
    for name, weight in stacked.items():
        for gate in weight.split(80):
            wanted = 1 / 80 if "hh" in name else 2 / (40 + 80)  # fans of the gate, not of the stack
            assert gate.square().mean().item() == pytest.approx(wanted, rel=0.1)


def test_all_layers_directions_and_projections_are_reached() -> None:
    layer = nn.LSTM(10, 20, num_layers=2, bidirectional=True, proj_size=5)
    nn.init.constant_(layer.weight_hr_l1_reverse, 7.0)
    init.uniform(layer, limit=1e-3, recurrent="uniform")
    assert max(p.abs().max().item() for name, p in layer.named_parameters() if "hh" not in name) <= 1e-3
    assert max(p.abs().max().item() for name, p in layer.named_parameters() if "hh" in name) > 1e-4


def test_the_chosen_init_named_for_a_kind_keeps_its_keys() -> None:
    assert deviations(embedding="normal")["embedding.weight"] == pytest.approx(1.0, abs=0.05)


class Block(nn.Module):
    """A residual block as the models here build them."""

    def __init__(self, new_norm: type[nn.Module] = nn.BatchNorm2d) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), new_norm(4), nn.ReLU())
        self.last = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), new_norm(4))
        self.last[1].closes_block = True

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.last(self.first(x))


@pytest.mark.parametrize("initialise", [init.default, init.he_normal])
def test_blocks_with_zero_residual_begin_as_the_identity(initialise: Any) -> None:
    net, x = nn.Sequential(Block(), Block()), torch.randn(3, 4, 5, 5)
    initialise(net)
    assert not torch.equal(net(x), x)
    initialise(net, zero_residual=True)
    assert torch.equal(net(x), x)
    assert torch.equal(net[0].first[1].weight, torch.ones(4))


@pytest.mark.parametrize("net", [nn.Linear(3, 3), Block(nn.Identity)], ids=["no block", "no norm"])
def test_zero_residual_without_a_norm_to_silence_is_refused(net: nn.Module) -> None:
    with pytest.raises(ConfigError, match=r"^init\.zero_residual=true: the model has no .*zero_residual=false$"):
        init.he_normal(net, zero_residual=True)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"linear": "he_norml"}, r"^init\.linear=he_norml: must be one of default, .*; did you mean he_normal\?$"),
        ({"linear": "lsuv"}, r"^init\.linear=lsuv: must be one of default"),
        ({"convolution": "normal"}, r"^init\.convolution=normal: the model has no convolution; set .*=null$"),
        ({"recurrent": "normal"}, r"^init\.recurrent=normal: the model has no recurrent layer; set .*=null$"),
        ({"embedding": "normal"}, r"^init\.embedding=normal: the model has no embedding; set .*=null$"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(keys: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        init.he_normal(nn.Linear(3, 3), **keys)
    assert len(str(caught.value).splitlines()) == 1
