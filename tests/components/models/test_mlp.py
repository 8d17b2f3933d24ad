from __future__ import annotations

import pytest
import torch
from torch import nn

from hpo_cli.components.models.mlp import MLP
from hpo_cli.errors import ConfigError


def test_equals_a_hand_written_sequence() -> None:
    torch.manual_seed(0)
    ours = MLP(input_shape=(64,), num_outputs=10, depth=2, width=128)
    torch.manual_seed(0)
    theirs = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 10))
    x = torch.randn(32, 64)
    assert torch.equal(ours(x), theirs(x))
    assert sum(p.numel() for p in ours.parameters()) == 26_122


def test_layers_stand_in_order() -> None:
    net = MLP(input_shape=(1, 8, 8), num_outputs=3, depth=1, width=16, norm="layer", dropout=0.5)
    assert list(dict(net.named_children())) == ["flatten", "linear0", "norm0", "activation0", "dropout0", "head"]


def test_nothing_useless_is_called() -> None:
    net = MLP(input_shape=(64,), num_outputs=10, activation="identity", norm="none")
    assert list(dict(net.named_children())) == ["linear0", "dropout0", "linear1", "dropout1", "head"]
    assert type(net).forward is nn.Sequential.forward


def test_depth_zero_is_linear() -> None:
    net = MLP(input_shape=(2, 3), num_outputs=4, depth=0)
    a, b = torch.randn(2, 5, 2, 3)
    torch.testing.assert_close(net(a + b) - net(b), net(a) - net(torch.zeros(5, 2, 3)))
    assert sum(p.numel() for p in net.parameters()) == 6 * 4 + 4


@pytest.mark.parametrize(("norm", "bias"), [("batch", False), ("layer", True), ("group", True), ("none", True)])
def test_only_batch_norm_takes_the_bias_away(norm: str, bias: bool) -> None:
    net = MLP(input_shape=(5,), num_outputs=2, norm=norm)
    assert (net.linear0.bias is not None) == bias
    assert net.head.bias is not None


def test_dropout_rate_reaches_every_hidden_layer() -> None:
    net = MLP(input_shape=(5,), num_outputs=2, depth=3, dropout=0.4)
    assert [layer.p for layer in net if isinstance(layer, nn.Dropout)] == [0.4] * 3


def test_groups_that_do_not_divide_the_width_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"^model\.norm_groups=8: must divide the 100 channels"):
        MLP(input_shape=(5,), num_outputs=2, width=100, norm="group")
