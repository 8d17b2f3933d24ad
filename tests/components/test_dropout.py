from __future__ import annotations

import pytest
import torch
from torch import nn

from hpo_cli.components.dropout import Dropout


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
