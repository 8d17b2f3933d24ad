from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from torch import Tensor, nn

from hpo_cli.components.init import he_normal, lsuv
from hpo_cli.components.models.cnn import CNN
from hpo_cli.components.models.mlp import MLP
from hpo_cli.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

IMAGES = 3.0 * torch.randn(400, 1, 8, 8, generator=torch.Generator().manual_seed(0)) + 1.0
NETS: dict[str, Callable[[], nn.Module]] = {
    "deep relu mlp": lambda: MLP(input_shape=(1, 8, 8), num_outputs=10, depth=30, width=64),
    "tanh mlp": lambda: MLP(input_shape=(1, 8, 8), num_outputs=10, depth=5, activation="tanh", dropout=0.4),
    "maxout mlp": lambda: MLP(input_shape=(1, 8, 8), num_outputs=10, activation="maxout", pieces=3),
    "layer norm mlp": lambda: MLP(input_shape=(1, 8, 8), num_outputs=10, norm="layer"),
    "batch norm cnn": lambda: CNN(input_shape=(1, 8, 8), num_outputs=10),
    "bare cnn": lambda: CNN(input_shape=(1, 8, 8), num_outputs=10, norm="none", activation="elu"),
}


def output_variances(net: nn.Module, x: Tensor) -> list[float]:
    """The variance of what each linear layer and convolution gives on `x`, norms by the batch, dropout off."""
    found: list[float] = []
    weighted = [layer for layer in net.modules() if isinstance(layer, (nn.Linear, nn.Conv2d))]
    handles = [layer.register_forward_hook(lambda _m, _i, out: found.append(out.var().item())) for layer in weighted]
    for layer in net.modules():
        layer.train(not isinstance(layer, nn.Dropout))
    with torch.no_grad():
        net(x)
    for handle in handles:
        handle.remove()
    return found


@pytest.mark.parametrize("name", NETS)
def test_every_layer_gives_unit_variance(name: str) -> None:
    torch.manual_seed(0)
    net = NETS[name]()
    lsuv(net, samples=lambda: IMAGES)
    found = output_variances(net, IMAGES)
    assert len(found) >= 3
    assert found == pytest.approx([1.0] * len(found), abs=1e-2)
    he_normal(net)
    assert output_variances(net, IMAGES) != pytest.approx([1.0] * len(found), abs=0.1)


def test_a_part_of_the_samples_is_enough() -> None:
    torch.manual_seed(0)
    net = NETS["deep relu mlp"]()
    sizes: list[int] = []
    handle = net.register_forward_pre_hook(lambda _module, inputs: sizes.append(len(inputs[0])))
    lsuv(net, samples=lambda: IMAGES, num_samples=100)
    handle.remove()
    assert sizes == [100]
    assert all(0.5 < variance < 2.0 for variance in output_variances(net, IMAGES))


def test_weights_are_multiples_of_orthogonal_ones() -> None:
    net = MLP(input_shape=(64,), num_outputs=10, depth=1, width=64)
    lsuv(net, samples=lambda: IMAGES.flatten(1))
    product = net.linear0.weight @ net.linear0.weight.T
    torch.testing.assert_close(product / product[0, 0], torch.eye(64), atol=1e-5, rtol=0)


@pytest.mark.parametrize("linear", ["normal", "default"])
def test_another_draw_is_scaled_as_well(linear: str) -> None:
    net = MLP(input_shape=(1, 8, 8), num_outputs=10)
    lsuv(net, samples=lambda: IMAGES, linear=linear)
    assert output_variances(net, IMAGES) == pytest.approx([1.0] * 3, abs=1e-2)


def test_modes_hooks_and_running_statistics_are_as_before() -> None:
    net = CNN(input_shape=(1, 8, 8), num_outputs=10, dropout=0.2)
    net.norm1.eval()
    modes, buffers = [m.training for m in net.modules()], [b.clone() for b in net.buffers()]
    lsuv(net, samples=lambda: IMAGES)
    assert [m.training for m in net.modules()] == modes
    assert all(torch.equal(a, b) for a, b in zip(buffers, net.buffers(), strict=True))
    assert not any(m._forward_hooks for m in net.modules())


def test_a_layer_that_is_used_twice_is_scaled_by_its_first_use() -> None:
    shared = nn.Linear(64, 64)
    lsuv(nn.Sequential(shared, nn.ReLU(), shared), samples=lambda: IMAGES.flatten(1))
    assert shared(IMAGES.flatten(1)).var().item() == pytest.approx(1.0, abs=1e-2)


@pytest.mark.parametrize(("value", "rule"), [(0.0, "one number for"), (float("nan"), "no finite outputs on")])
def test_samples_that_give_no_variance_are_refused(value: float, rule: str) -> None:
    net = MLP(input_shape=(4,), num_outputs=2)
    with pytest.raises(ConfigError, match=rf"^init=lsuv: layer linear0 gives {rule} all samples; choose another init$"):
        lsuv(net, samples=lambda: torch.full((8, 4), value))
    assert not any(m._forward_hooks for m in net.modules())
