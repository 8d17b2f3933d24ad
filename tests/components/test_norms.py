from __future__ import annotations

from typing import Literal

import pytest
import torch
from torch import Tensor

from hpo_cli.components.norms import bias_before, norm
from hpo_cli.errors import ConfigError

Dims = Literal[0, 1, 2]
INPUTS: dict[Dims, Tensor] = {
    dims: 3.0 * torch.randn(6, 8, *sizes, generator=torch.Generator().manual_seed(dims)) + 1.0
    for dims, sizes in {0: (), 1: (9,), 2: (5, 4)}.items()  # type: ignore[misc]
}


def standardised(x: Tensor, over: tuple[int, ...]) -> Tensor:
    """The textbook form of every normalisation here."""
    variance, mean = torch.var_mean(x, dim=over, correction=0, keepdim=True)
    return (x - mean) / torch.sqrt(variance + 1e-5)


@pytest.mark.parametrize("dims", [0, 1, 2])
def test_batch_norm_standardises_each_channel(dims: Dims) -> None:
    x = INPUTS[dims]
    wanted = standardised(x, (0, *range(2, x.dim())))
    torch.testing.assert_close(norm("batch", 8, dims=dims)(x), wanted)


@pytest.mark.parametrize("dims", [0, 1, 2])
def test_layer_norm_standardises_each_sample(dims: Dims) -> None:
    x = INPUTS[dims]
    torch.testing.assert_close(norm("layer", 8, dims=dims)(x), standardised(x, tuple(range(1, x.dim()))))


@pytest.mark.parametrize("dims", [0, 1, 2])
@pytest.mark.parametrize("groups", [1, 2, 4])
def test_group_norm_standardises_each_group(dims: Dims, groups: int) -> None:
    x = INPUTS[dims]
    grouped = x.view(6, groups, 8 // groups, *x.shape[2:])
    wanted = standardised(grouped, tuple(range(2, grouped.dim()))).view_as(x)
    torch.testing.assert_close(norm("group", 8, dims=dims, groups=groups)(x), wanted)


@pytest.mark.parametrize("dims", [1, 2])
def test_instance_norm_standardises_each_channel_of_each_sample(dims: Dims) -> None:
    x = INPUTS[dims]
    layer = norm("instance", 8, dims=dims)
    torch.testing.assert_close(layer(x), standardised(x, tuple(range(2, x.dim()))))
    torch.testing.assert_close(layer.eval()(x), layer.train()(x))


@pytest.mark.parametrize("dims", [1, 2])
@pytest.mark.parametrize("name", ["batch", "layer", "group", "instance"])
def test_every_norm_has_a_scale_and_a_shift_for_each_channel(name: str, dims: Dims) -> None:
    assert [p.shape for p in norm(name, 8, dims=dims).parameters()] == [(8,), (8,)]


@pytest.mark.parametrize("dims", [0, 1, 2])
def test_none_passes_on(dims: Dims) -> None:
    assert norm("none", 8, dims=dims)(INPUTS[dims]) is INPUTS[dims]


@pytest.mark.parametrize("dims", [0, 1, 2])
def test_a_bias_is_left_out_where_the_norm_makes_it_useless(dims: Dims) -> None:
    x = INPUTS[dims]
    bias = torch.arange(8.0).view(1, 8, *[1] * (x.dim() - 2))
    for name in ("batch", "layer", "group", "none", *(["instance"] if dims else [])):
        layer = norm(name, 8, dims=dims, groups=2)
        useless = torch.allclose(layer(x), layer(x + bias), atol=1e-4)
        assert useless == (not bias_before(name))


@pytest.mark.parametrize(("groups", "dims"), [(3, 2), (16, 1), (0, 2), (8, 0), (5, 0)])
def test_groups_that_do_not_fit_are_refused(groups: int, dims: Dims) -> None:
    with pytest.raises(
        ConfigError, match=rf"^model\.norm_groups={groups}: must divide the 8 channels.*; choose one of 2, 4"
    ):
        norm("group", 8, dims=dims, groups=groups)


def test_a_single_feature_has_no_groups() -> None:
    with pytest.raises(ConfigError, match=r"set model\.norm=none$"):
        norm("group", 1, dims=0, groups=1)


INSTANCE_REFUSED = r"^model\.norm=instance: needs several positions .*; set model\.norm=layer$"


def test_instance_norm_is_refused_for_tables_and_single_positions() -> None:
    for keys in ({"dims": 0}, {"dims": 0, "positions": 9}, {"dims": 1, "positions": 1}, {"dims": 2, "positions": 1}):
        with pytest.raises(ConfigError, match=INSTANCE_REFUSED):
            norm("instance", 8, **keys)  # type: ignore[arg-type]


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("dims", [1, 2])
def test_a_single_position_is_refused_when_it_arrives_unannounced(dims: Dims, training: bool) -> None:
    layer = norm("instance", 8, dims=dims).train(training)
    with pytest.raises(ConfigError, match=INSTANCE_REFUSED):
        layer(torch.randn(4, 8, *[1] * dims))
    assert layer(torch.randn(4, 8, *[2] * dims)).std() > 0


def test_a_misspelt_name_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"^model\.norm=bach: .*did you mean batch\?$"):
        norm("bach", 8, dims=2)
