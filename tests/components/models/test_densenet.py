from __future__ import annotations

import pytest
import torch
from torch import nn

from hpo_cli.components.dropout import Dropout
from hpo_cli.components.models.densenet import DenseLayer, DenseNet
from hpo_cli.errors import ConfigError

CIFAR, SIGNAL = (3, 32, 32), (1, 40)


@pytest.mark.parametrize(
    ("keys", "millions"),
    [
        ({"depth": 40, "growth": 12}, 1.0),
        ({"depth": 100, "growth": 12}, 7.0),
        ({"depth": 100, "growth": 24}, 27.2),
        ({"depth": 100, "growth": 12, "channels": 24, "bottleneck": True, "compression": 0.5}, 0.8),
        ({"depth": 250, "growth": 24, "channels": 48, "bottleneck": True, "compression": 0.5}, 15.3),
    ],
    ids=str,
)
def test_parameters_are_those_of_the_papers_table(keys: dict[str, int], millions: float) -> None:
    """Huang et al. 2017, table 2: million parameters on CIFAR-10."""
    with torch.device("meta"):
        net = DenseNet(input_shape=CIFAR, num_outputs=10, **keys)
    assert round(sum(p.numel() for p in net.parameters()) / 1e6, 1) == millions


@pytest.mark.parametrize("shape", [(2, 11), (2, 9, 12)])
def test_equals_a_hand_written_forward_pass(shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    net = DenseNet(input_shape=shape, num_outputs=3, depth=10, growth=4, channels=6, compression=0.5).eval()
    pool = (nn.functional.avg_pool1d, nn.functional.avg_pool2d)[len(shape) - 2]
    x = torch.randn(5, *shape)
    features = net.conv(x)
    for block in range(3):
        if block:
            layer = getattr(net, f"transition{block}")
            features = pool(layer.conv(layer.norm(features).relu()), 2)
            assert features.shape[1] == (14 // 2, 15 // 2)[block - 1]
        for i in range(2):
            layer = getattr(net, f"block{block}_{i}")
            features = torch.cat([features, layer.conv(layer.norm(features).relu())], 1)
    expected = net.head(net.norm(features).relu().flatten(2).mean(2))
    torch.testing.assert_close(net(x), expected)


def test_a_bottleneck_gives_four_times_the_growth() -> None:
    net = DenseNet(input_shape=CIFAR, num_outputs=10, depth=10, growth=5, channels=7, bottleneck=True)
    layers = [layer for layer in net if isinstance(layer, DenseLayer)]
    assert [tuple(layer.narrow.conv.weight.shape[:2]) for layer in layers] == [(20, 7), (20, 12), (20, 17)]
    assert [tuple(layer.wide.conv.weight.shape) for layer in layers] == [(5, 20, 3, 3)] * 3


def test_dropout_follows_every_convolution_but_the_first() -> None:
    net = DenseNet(input_shape=SIGNAL, num_outputs=3, depth=10, dropout=0.2)
    layers = list(net.modules())
    num_convolutions = sum(isinstance(layer, nn.Conv1d) for layer in layers)
    assert [layer.p for layer in layers if isinstance(layer, Dropout)] == [0.2] * (num_convolutions - 1)


@pytest.mark.parametrize("shape", [(1, 4), (1, 4, 4), (2, 5, 7)])
def test_the_smallest_data_pass(shape: tuple[int, ...]) -> None:
    assert DenseNet(input_shape=shape, num_outputs=3, depth=7)(torch.randn(4, *shape)).shape == (4, 3)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"depth": 41}, r"^model\.depth=41: must be 3 n \+ 4: three dense .*; set model\.depth=40 or 43$"),
        ({"depth": 4}, r"^model\.depth=4: must be 3 n \+ 4: .*; set model\.depth=7$"),
        ({"depth": 43, "bottleneck": True}, r"^model\.depth=43: must be 6 n \+ 4: .*; set model\.depth=40 or 46$"),
        ({"kernel_size": 2}, r"^model\.kernel_size=2: must be odd, .*; set model\.kernel_size=1 or 3$"),
        ({"norm": "group", "growth": 6}, r"^model\.norm_groups=4: must divide the 22 .*; choose one of 2, 11, 22$"),
        ({"input_shape": (1, 3)}, r"^model=densenet: halves the size twice, samples here are 1x3, less than 4 a side"),
        ({"input_shape": (30,)}, r"^model=densenet: needs images .*, samples here are 30; set model=mlp$"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(keys: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        DenseNet(**{"input_shape": (1, 8, 8), "num_outputs": 10, **keys})  # type: ignore[arg-type]
    assert len(str(caught.value).splitlines()) == 1
