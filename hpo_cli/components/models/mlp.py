"""The multi-layer perceptron."""

from __future__ import annotations

import math
from collections import OrderedDict

from torch import nn

from hpo_cli.components.activations import activation as new_activation
from hpo_cli.components.activations import widening
from hpo_cli.components.dropout import dropout_after
from hpo_cli.components.norms import bias_before
from hpo_cli.components.norms import norm as new_norm


class MLP(nn.Sequential):
    """A flat `nn.Sequential` of `depth` hidden layers [linear, norm, activation, dropout] and a linear head.

    Gives raw outputs [b, num_outputs] for inputs [b, *input_shape] of any rank; depth 0 is a linear model.
    The linear layer before a batch norm has no bias: the norm subtracts it, its own shift takes the place.
    The dropout layers are there at rate 0 too, so that the rate can change while training; after selu they are alpha
    dropout. With maxout a linear layer and its norm are `pieces` times as wide as the `width` units that it leaves.
    """

    def __init__(  # noqa: PLR0913 - one argument a config key
        self,
        *,
        input_shape: tuple[int, ...],
        num_outputs: int,
        depth: int = 2,
        width: int = 128,
        activation: str = "relu",
        pieces: int = 2,
        norm: str = "none",
        norm_groups: int = 8,
        dropout: float = 0.0,
    ) -> None:
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        if len(input_shape) > 1:
            layers["flatten"] = nn.Flatten()
        num_inputs, num_features = math.prod(input_shape), width * widening(activation, pieces=pieces)
        for i in range(depth):
            layers[f"linear{i}"] = nn.Linear(num_inputs, num_features, bias=bias_before(norm))
            layers[f"norm{i}"] = new_norm(norm, num_features, dims=0, groups=norm_groups)
            layers[f"activation{i}"] = new_activation(activation, pieces=pieces)
            layers[f"dropout{i}"] = dropout_after(activation, dropout)
            num_inputs = width
        layers["head"] = nn.Linear(num_inputs, num_outputs)
        super().__init__(without_identities(layers))


def without_identities(layers: OrderedDict[str, nn.Module]) -> OrderedDict[str, nn.Module]:
    """Keep the layers that do something: an identity in a sequence costs a call and gives nothing."""
    return OrderedDict((name, layer) for name, layer in layers.items() if not isinstance(layer, nn.Identity))
