from __future__ import annotations

import pytest
import torch
from torch import nn

from hpo_cli.components.activations import ACTIVATIONS
from hpo_cli.components.dropout import AlphaDropout, Dropout, StochasticDepth, dropout_after
from hpo_cli.errors import ConfigError


@pytest.mark.parametrize("rate", [0.0, 0.3, 0.9])
def test_drops_what_torch_drops(rate: float) -> None:
    x = torch.randn(50, 40)
    torch.manual_seed(1)
    ours = Dropout(rate)(x)
    torch.manual_seed(1)
    assert torch.equal(ours, nn.Dropout(rate)(x))


def test_rate_changes_while_training() -> None:
    layer, x = Dropout(0.0), torch.ones(100, 100)
    assert layer(x) is x
    layer.p = 0.25
    assert (layer(x) == 0.0).float().mean().item() == pytest.approx(0.25, abs=0.02)
    assert torch.equal(layer.eval()(x), x)


def test_is_found_as_torch_dropout() -> None:
    assert isinstance(Dropout(0.5), nn.Dropout)


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.5])
def test_alpha_dropout_is_that_of_torch(rate: float) -> None:
    x = torch.randn(50, 40)
    torch.manual_seed(1)
    ours = AlphaDropout(rate)(x)
    torch.manual_seed(1)
    assert torch.equal(ours, nn.AlphaDropout(rate)(x))


def test_alpha_dropout_keeps_mean_and_variance_where_plain_dropout_does_not() -> None:
    torch.manual_seed(0)
    x = torch.randn(1000, 1000)
    alpha, plain = AlphaDropout(0.0), Dropout(0.3)
    assert alpha(x) is x
    alpha.p = 0.3
    assert alpha(x).mean().item() == pytest.approx(0.0, abs=0.01)
    assert alpha(x).var().item() == pytest.approx(1.0, abs=0.01)
    assert plain(x).var().item() == pytest.approx(1 / 0.7, abs=0.01)
    assert torch.equal(alpha.eval()(x), x)


def test_only_selu_is_followed_by_alpha_dropout() -> None:
    kinds = {name: type(dropout_after(name, 0.2)) for name in ACTIVATIONS}
    assert kinds == {**dict.fromkeys(ACTIVATIONS, Dropout), "selu": AlphaDropout}


@pytest.mark.parametrize("shape", [(20_000, 3), (20_000, 2, 1, 2)])
def test_stochastic_depth_drops_whole_samples_and_scales_the_rest(shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    out = StochasticDepth(0.3)(torch.ones(shape)).flatten(1)
    assert torch.equal(out.min(1).values, out.max(1).values)
    torch.testing.assert_close(out.unique(), torch.tensor([0.0, 1 / 0.7]))
    assert (out[:, 0] == 0).float().mean().item() == pytest.approx(0.3, abs=0.01)


def test_stochastic_depth_keeps_the_expectation() -> None:
    torch.manual_seed(0)
    x = torch.randn(1, 4).expand(40_000, 4)
    torch.testing.assert_close(StochasticDepth(0.5)(x).mean(0), x[0], atol=0.03, rtol=0)
    assert (nn.functional.dropout1d(x.unsqueeze(2), 0.5)[..., 0] * 0.5).mean(0).sub(x[0]).abs().max() > 0.03


def test_stochastic_depth_passes_on_at_rate_zero_and_in_evaluation() -> None:
    layer, x = StochasticDepth(), torch.randn(8, 3)
    assert layer(x) is x
    layer.p = 0.9
    assert not torch.equal(layer(x), x)
    assert layer.eval()(x) is x


def test_a_share_of_the_rate_is_left_to_each_block() -> None:
    torch.manual_seed(0)
    layer = StochasticDepth(0.4, share=0.5)
    assert (layer(torch.ones(20_000, 1)) == 0).float().mean().item() == pytest.approx(0.2, abs=0.01)
    layer.p = 0.8
    assert (layer(torch.ones(20_000, 1)) == 0).float().mean().item() == pytest.approx(0.4, abs=0.015)


def test_stochastic_depth_of_stacked_models_is_mapped() -> None:
    layer, x = StochasticDepth(0.5), torch.ones(6, 40, 3)
    out = torch.func.vmap(layer, randomness="different")(x)
    assert out.shape == x.shape
    assert len({tuple(model[:, 0].tolist()) for model in out}) == 6


@pytest.mark.parametrize("rate", [-0.1, 1.0, 2.0])
def test_a_rate_that_keeps_nothing_is_refused(rate: float) -> None:
    with pytest.raises(ConfigError, match=rf"^model\.stochastic_depth={rate}: must be at least 0 and below 1; set "):
        StochasticDepth(rate)
