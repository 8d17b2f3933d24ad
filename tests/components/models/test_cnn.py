from __future__ import annotations

import pytest
import torch
from torch import nn

from hpo_cli.components.models.cnn import CNN
from hpo_cli.errors import ConfigError

DIGITS, FASHION = (1, 8, 8), (1, 28, 28)


def test_equals_a_hand_written_sequence() -> None:
    torch.manual_seed(0)
    ours = CNN(input_shape=FASHION, num_outputs=10, depth=2, channels=4)
    torch.manual_seed(0)
    theirs = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1, bias=False), nn.MaxPool2d(2), nn.BatchNorm2d(4), nn.ReLU(),
        nn.Conv2d(4, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 10),
    )  # fmt: skip
    x = torch.randn(6, *FASHION)
    torch.testing.assert_close(ours(x), theirs(x))


def test_default_is_small() -> None:
    net = CNN(input_shape=FASHION, num_outputs=10)
    assert sum(p.numel() for p in net.parameters()) == 98_682


@pytest.mark.parametrize("shape", [(1, 40), (3, 40), DIGITS, FASHION, (3, 20, 31)])
@pytest.mark.parametrize("pooling", ["max", "average", "none"])
def test_takes_sequences_and_images(shape: tuple[int, ...], pooling: str) -> None:
    net = CNN(input_shape=shape, num_outputs=7, channels=8, pooling=pooling)
    assert net(torch.randn(5, *shape)).shape == (5, 7)


@pytest.mark.parametrize("shape", [(2, 16), (2, 16, 16)])
def test_sizes_halve_and_channels_double(shape: tuple[int, ...]) -> None:
    sizes = []
    net = CNN(input_shape=shape, num_outputs=2, depth=4, channels=4, kernel_size=5)
    for name, layer in net.named_children():
        if name.startswith("activation"):
            layer.register_forward_hook(lambda _layer, _inputs, outputs: sizes.append(tuple(outputs.shape[1:3])))
    net(torch.randn(3, *shape))
    assert sizes == [(4, 8), (8, 4), (16, 2), (32, 2)]


def test_pooling_never_leaves_less_than_one_position() -> None:
    net = CNN(input_shape=DIGITS, num_outputs=10, depth=4, channels=4)
    assert net(torch.randn(3, *DIGITS)).shape == (3, 10)
    with pytest.raises(ConfigError, match=r"^model\.depth=5: halves 8x8 4 times, .*; set at most model\.depth=4, or "):
        CNN(input_shape=DIGITS, num_outputs=10, depth=5, channels=4)
    deep = CNN(input_shape=DIGITS, num_outputs=10, depth=5, channels=4, pooling="none")
    assert deep(torch.randn(3, *DIGITS)).shape == (3, 10)


@pytest.mark.parametrize(
    ("norm", "bias"), [("batch", False), ("instance", False), ("layer", True), ("group", True), ("none", True)]
)
def test_norms_over_positions_take_the_bias_away(norm: str, bias: bool) -> None:
    net = CNN(input_shape=DIGITS, num_outputs=10, depth=3, norm=norm)
    assert (net.conv0.bias is not None) == bias


def test_dropout_stands_before_the_head() -> None:
    net = CNN(input_shape=DIGITS, num_outputs=10, dropout=0.3)
    names = list(dict(net.named_children()))
    assert names[-2:] == ["dropout", "head"]
    assert net.dropout.p == 0.3


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"kernel_size": 4}, r"^model\.kernel_size=4: must be odd, .*; set .*kernel_size=3 or 5$"),
        ({"kernel_size": 8}, r"^model\.kernel_size=8: must be odd, .*; set model\.kernel_size=7$"),
        ({"kernel_size": 9}, r"^model\.kernel_size=9: is larger than the data's 8x8; set at most .*=7$"),
        ({"norm": "group", "channels": 12}, r"^model\.norm_groups=8: must divide the 12 .*; choose one of 2, 3, 4, 6"),
        ({"norm": "instance"}, r"^model\.norm=instance: needs several positions .*; set model\.norm=layer$"),
        ({"activation": "maxout", "pieces": 1}, r"^model\.pieces=1: must be at least 2: .*; set model\.pieces=2$"),
        ({"pooling": "maxx"}, r"^model\.pooling=maxx: must be one of none, max, average; did you mean max\?$"),
        ({"input_shape": (30,)}, r"^model=cnn: needs images .*, samples here are 30; set model=mlp$"),
        ({"input_shape": (1, 2, 3, 4)}, r"^model=cnn: needs images .*, samples here are 1x2x3x4; set model=mlp$"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_in_one_line(keys: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        CNN(**{"input_shape": DIGITS, "num_outputs": 10, **keys})  # type: ignore[arg-type]
    assert len(str(caught.value).splitlines()) == 1


def test_kernel_as_large_as_the_image_fits() -> None:
    net = CNN(input_shape=(1, 7, 7), num_outputs=2, depth=1, kernel_size=7)
    assert net(torch.randn(2, 1, 7, 7)).shape == (2, 2)


def test_maxout_takes_the_largest_of_its_convolutions() -> None:
    torch.manual_seed(0)
    net = CNN(input_shape=DIGITS, num_outputs=10, depth=1, channels=4, activation="maxout", pieces=3, norm="layer")
    x = torch.randn(2, *DIGITS)
    channels = net.norm0(net.conv0(x))
    assert channels.shape == (2, 12, 8, 8)
    hidden = channels.view(2, 4, 3, 8, 8).max(2).values
    torch.testing.assert_close(net(x), net.head(hidden.mean((2, 3))))


@pytest.mark.parametrize(("keys", "fits"), [({"depth": 3}, True), ({}, False), ({"pooling": "none"}, True)])
def test_instance_norm_needs_positions_in_every_block(keys: dict[str, object], fits: bool) -> None:
    if not fits:
        with pytest.raises(ConfigError, match=r"^model\.norm=instance"):
            CNN(input_shape=DIGITS, num_outputs=10, norm="instance", **keys)  # type: ignore[arg-type]
        return
    net = CNN(input_shape=DIGITS, num_outputs=10, norm="instance", **keys)  # type: ignore[arg-type]
    assert net(torch.randn(2, *DIGITS)).shape == (2, 10)


def test_dropout_of_averages_is_plain_after_selu() -> None:
    assert isinstance(CNN(input_shape=DIGITS, num_outputs=2, activation="selu", dropout=0.1).dropout, nn.Dropout)
