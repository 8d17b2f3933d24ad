from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import nn

from hpo_cli.components.dropout import StochasticDepth
from hpo_cli.components.models.resnet import ResNet, Shortcut, SqueezeExcite
from hpo_cli.components.torchvision_ops import import_torchvision
from hpo_cli.errors import ConfigError

if TYPE_CHECKING:
    from torch import Tensor

CIFAR, SIGNAL = (3, 32, 32), (1, 40)


def count(net: nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())


@pytest.mark.parametrize(("depth", "millions"), [(20, 0.27), (32, 0.46), (44, 0.66), (56, 0.85), (110, 1.7)], ids=str)
def test_parameters_are_those_of_the_papers_table(depth: int, millions: float) -> None:
    """He et al. 2016, table 6: million parameters on CIFAR-10."""
    net = ResNet(input_shape=CIFAR, num_outputs=10, depth=depth)
    assert count(net) / 1e6 == pytest.approx(millions, abs=0.005 if millions < 1 else 0.05)


@pytest.mark.parametrize("shape", [SIGNAL, (1, 8, 8)])
def test_the_plain_twin_has_the_same_parameters_and_initial_weights(shape: tuple[int, ...]) -> None:
    twins = []
    for shortcut in (True, False):
        torch.manual_seed(0)
        twins.append(ResNet(input_shape=shape, num_outputs=3, depth=14, channels=4, shortcut=shortcut))
    residual, plain = twins
    assert list(residual.state_dict()) == list(plain.state_dict())
    assert all(torch.equal(a, b) for a, b in zip(residual.parameters(), plain.parameters(), strict=True))
    x = torch.randn(4, *shape)
    assert not torch.allclose(residual(x), plain(x))


@pytest.mark.parametrize("shape", [(2, 11), (2, 9, 12)])
@pytest.mark.parametrize("shortcut", [True, False])
def test_equals_a_hand_written_forward_pass(shape: tuple[int, ...], shortcut: bool) -> None:
    torch.manual_seed(0)
    net = ResNet(input_shape=shape, num_outputs=3, depth=14, channels=4, kernel_size=5, shortcut=shortcut)
    x = torch.randn(6, *shape)
    torch.testing.assert_close(net(x), by_hand(net, x, dims=len(shape) - 1, shortcut=shortcut))


def by_hand(net: ResNet, x: Tensor, *, dims: int, shortcut: bool) -> Tensor:
    """Equations 1 and 2 of the paper written out, with batch statistics."""
    weights = dict(net.named_parameters())
    convolve = (nn.functional.conv1d, nn.functional.conv2d)[dims - 1]

    def normed(x: Tensor, conv: str, norm: str, stride: int = 1) -> Tensor:
        y: Any = convolve(x, weights[f"{conv}.weight"], stride=stride, padding=2)
        mean, variance = y.transpose(0, 1).flatten(1).mean(1), y.transpose(0, 1).flatten(1).var(1, unbiased=False)
        mean, variance, scale, shift = (
            v.view(-1, *[1] * dims) for v in (mean, variance, weights[f"{norm}.weight"], weights[f"{norm}.bias"])
        )
        return (y - mean) / (variance + 1e-5).sqrt() * scale + shift  # type: ignore[no-any-return]

    x = normed(x, "conv", "norm").relu()
    for block in range(6):
        stride = 2 if block in (2, 4) else 1
        inside = f"block{block}.branch"
        y = normed(x, f"{inside}.conv0", f"{inside}.norm0", stride).relu()
        y = normed(y, f"{inside}.conv1", f"{inside}.norm1")
        skipped = x[(..., *[slice(None, None, stride)] * dims)]
        zeros = torch.zeros(y.shape[0], y.shape[1] - x.shape[1], *y.shape[2:])
        x = (y + torch.cat([skipped, zeros], 1)).relu() if shortcut else y.relu()
    return x.flatten(2).mean(2) @ weights["head.weight"].T + weights["head.bias"]


def test_a_block_is_torchvisions_basic_block() -> None:
    import_torchvision()
    from torchvision.models.resnet import BasicBlock

    ours = ResNet(input_shape=(4, 8, 8), num_outputs=2, depth=8, channels=4).block0
    theirs = BasicBlock(4, 4)
    theirs.load_state_dict(dict(zip(theirs.state_dict(), ours.state_dict().values(), strict=True)))
    x = torch.randn(3, 4, 8, 8)
    torch.testing.assert_close(ours(x), theirs(x))


def test_layers_stand_in_the_order_in_which_a_sample_passes_them() -> None:
    names = list(dict(ResNet(input_shape=SIGNAL, num_outputs=3, depth=8).named_children()))
    assert names == [
        "conv",
        "norm",
        "activation",
        "block0",
        "block1",
        "block2",
        "average",
        "flatten",
        "dropout",
        "head",
    ]


def test_a_shortcut_takes_every_second_position_and_adds_zeros() -> None:
    x = torch.arange(5.0).view(1, 1, 5)
    assert Shortcut(num_extra=2, stride=2)(x).tolist() == [[[0.0, 2.0, 4.0], [0.0] * 3, [0.0] * 3]]
    assert Shortcut(num_extra=0, stride=1)(x) is x


def test_each_residual_block_marks_the_norm_that_closes_it() -> None:
    net = ResNet(input_shape=SIGNAL, num_outputs=3, depth=20)
    closing = [name for name, layer in net.named_modules() if getattr(layer, "closes_block", False)]
    assert closing == [f"block{i}.branch.norm1" for i in range(9)]
    plain = ResNet(input_shape=SIGNAL, num_outputs=3, depth=20, shortcut=False)
    assert not any(getattr(layer, "closes_block", False) for layer in plain.modules())


def test_zeroed_closing_norms_leave_the_shortcuts_alone() -> None:
    """Goyal et al. 2017, section 5.1: the network starts as its stem and head."""
    net = ResNet(input_shape=(4, 8), num_outputs=3, depth=8, channels=4)
    for layer in net.modules():
        if getattr(layer, "closes_block", False):
            nn.init.zeros_(layer.weight)  # type: ignore[arg-type]
    x = torch.randn(5, 4, 8)
    stem = net.activation(net.norm(net.conv(x)))
    padded = nn.functional.pad(stem[:, :, ::4].mean(2), (0, 12))
    torch.testing.assert_close(net(x), net.head(padded))


def test_branches_are_dropped_more_often_the_deeper_they_are() -> None:
    net = ResNet(input_shape=SIGNAL, num_outputs=3, depth=14, stochastic_depth=0.4)
    rates = [layer.p * layer.share for layer in net.modules() if isinstance(layer, StochasticDepth)]
    assert rates == pytest.approx([0.4 * i / 6 for i in range(1, 7)])


@pytest.mark.parametrize("ratio", [4, 16])
def test_gates_add_the_papers_number_of_parameters(ratio: int) -> None:
    """Hu et al. 2018, section 4: 2 / r times the sum of c^2 over the blocks."""
    plain, gated = (ResNet(input_shape=CIFAR, num_outputs=10, squeeze_excite=r) for r in (0, ratio))
    assert count(gated) - count(plain) == sum(3 * 2 * c**2 // ratio for c in (16, 32, 64))


@pytest.mark.parametrize("shape", [(7,), (5, 3)])
def test_gates_weigh_the_channels_by_all_averages(shape: tuple[int, ...]) -> None:
    layer = SqueezeExcite(8, ratio=2)
    x = torch.randn(4, 8, *shape)
    means = x.flatten(2).mean(2)
    gates = torch.sigmoid(torch.relu(means @ layer.squeeze.weight.T) @ layer.excite.weight.T)
    torch.testing.assert_close(layer(x).flatten(2), x.flatten(2) * gates[:, :, None])


def test_images_lie_with_channels_last() -> None:
    net = ResNet(input_shape=CIFAR, num_outputs=10, depth=8)
    assert net.conv.weight.is_contiguous(memory_format=torch.channels_last)
    assert net(torch.randn(2, *CIFAR)).shape == (2, 10)


@pytest.mark.parametrize("shape", [(1, 1), (1, 1, 1), (2, 3, 1)])
def test_the_smallest_data_pass(shape: tuple[int, ...]) -> None:
    assert ResNet(input_shape=shape, num_outputs=3, depth=8)(torch.randn(4, *shape)).shape == (4, 3)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"depth": 18}, r"^model\.depth=18: must be 6 n \+ 2: three stages .*; set model\.depth=14 or 20$"),
        ({"depth": 5}, r"^model\.depth=5: must be 6 n \+ 2: .*; set model\.depth=8$"),
        ({"depth": 2}, r"^model\.depth=2: must be 6 n \+ 2: .*; set model\.depth=8$"),
        ({"kernel_size": 4}, r"^model\.kernel_size=4: must be odd, .*; set model\.kernel_size=3 or 5$"),
        ({"squeeze_excite": 12}, r"^model\.squeeze_excite=12: must divide the 16 .*; choose one of 2, 4, 8, 16$"),
        ({"norm": "group", "channels": 12}, r"^model\.norm_groups=8: must divide the 12 .*; choose one of 2, 3, 4, 6"),
        ({"shortcut": False, "stochastic_depth": 0.1}, r"^model\.stochastic_depth=0\.1: drops the branch .*; set "),
        ({"input_shape": (30,)}, r"^model=resnet: needs images .*, samples here are 30; set model=mlp$"),
        ({"input_shape": (1, 2, 3, 4)}, r"^model=resnet: needs images .*, samples here are 1x2x3x4; set model=mlp$"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_in_one_line(keys: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        ResNet(**{"input_shape": (1, 8, 8), "num_outputs": 10, **keys})  # type: ignore[arg-type]
    assert len(str(caught.value).splitlines()) == 1
