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


def test_maxout_takes_the_largest_of_its_pieces_after_the_norm() -> None:
    net = MLP(input_shape=(6,), num_outputs=3, depth=2, width=5, activation="maxout", pieces=3, norm="layer")
    assert [(net.get_parameter(f"{name}.weight").shape) for name in ("linear0", "norm0", "linear1", "head")] == [
        (15, 6),
        (15,),
        (15, 5),
        (3, 5),
    ]
    x = torch.randn(4, 6)
    hidden = net[1](net[0](x)).view(4, 5, 3).max(2).values
    torch.testing.assert_close(net[2](net[1](net[0](x))), hidden)
    assert net(x).shape == (4, 3)


def test_pieces_alone_change_nothing() -> None:
    two, nine = (MLP(input_shape=(6,), num_outputs=3, pieces=pieces) for pieces in (2, 9))
    assert str(two) == str(nine)


def test_groups_are_of_the_widened_layer() -> None:
    keys = {"input_shape": (5,), "num_outputs": 2, "width": 10, "norm": "group", "norm_groups": 4}
    with pytest.raises(ConfigError, match="must divide the 10 channels"):
        MLP(**keys)  # type: ignore[arg-type]
    assert MLP(**keys, activation="maxout")(torch.randn(3, 5)).shape == (3, 2)  # type: ignore[arg-type]


def test_selu_gets_alpha_dropout() -> None:
    for activation, kind in (("selu", nn.AlphaDropout), ("relu", nn.Dropout)):
        net = MLP(input_shape=(5,), num_outputs=2, activation=activation, dropout=0.1)
        assert [layer.p for layer in net if isinstance(layer, kind)] == [0.1, 0.1]


def test_instance_norm_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"^model\.norm=instance: needs several positions .*; set model\.norm=layer$"):
        MLP(input_shape=(5,), num_outputs=2, norm="instance")
