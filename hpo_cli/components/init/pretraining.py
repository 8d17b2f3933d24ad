"""Greedy layer-wise pre-training: each hidden layer learns to encode what the one before it gives."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from hpo_cli.components.init.draws import DRAWS
from hpo_cli.components.init.kinds import Kinds, takes_kinds
from hpo_cli.components.init.layers import fill
from hpo_cli.components.models.mlp import MLP
from hpo_cli.errors import ConfigError


@takes_kinds
def autoencoder(
    model: nn.Module,
    *,
    samples: Callable[[], Tensor],
    kinds: Kinds,
    epochs: int = 10,
    batch_size: int = 64,
    lr: float = 1e-3,
) -> None:
    """Train each hidden layer of an mlp in turn, from He's weights, as the encoder of an autoencoder.

    samples: gives all training inputs [n, ...]. The first layer learns to encode them, each further one to encode
    what the layers before it make of them; the run itself is the fine-tuning. The head keeps its draw.
    Source: Bengio et al. 2007 ("Greedy Layer-Wise Training of Deep Networks"), section 4.
    Raises ConfigError for a model that is no mlp or has no hidden layer.
    """
    if not isinstance(model, MLP):
        rule = f"pre-trains the hidden layers of an mlp, the model is a {type(model).__name__}"
        raise ConfigError("init", "autoencoder", rule=rule, fix="set model=mlp or choose another init")
    fill(model, own="he_normal", draws=DRAWS, kinds=kinds)
    encoders = list(hidden_layers(model))
    if not encoders:
        raise ConfigError("model.depth", 0, rule="leaves init=autoencoder no hidden layer", fix="set model.depth=1")
    features = samples().flatten(1)
    for encoder in encoders:
        train_encoder(encoder, features, epochs=epochs, batch_size=batch_size, lr=lr)
        features = encode(encoder, features)


def hidden_layers(model: MLP) -> Iterator[nn.Sequential]:
    """The hidden layers of an mlp from the first to the last, each [linear, norm, activation] without its dropout."""
    layers = [layer for layer in model if not isinstance(layer, (nn.Flatten, nn.Dropout, nn.AlphaDropout))]
    starts = [i for i, layer in enumerate(layers) if isinstance(layer, nn.Linear)]
    for start, end in itertools.pairwise(starts):
        yield nn.Sequential(*layers[start:end])


def train_encoder(encoder: nn.Sequential, inputs: Tensor, *, epochs: int, batch_size: int, lr: float) -> float:
    """Train `encoder` beside a linear decoder of its own on the mean squared error of reconstruction, by Adam.

    inputs: [n, features]. Gives the mean squared error over all of them at the end.
    """
    num_hidden = encode(encoder, inputs[:2]).shape[1]
    both = nn.Sequential(encoder, nn.Linear(num_hidden, inputs.shape[1]))
    optimizer = torch.optim.Adam(both.parameters(), lr=lr)
    for _ in range(epochs):
        for rows in torch.randperm(len(inputs)).split(batch_size):
            if len(rows) == 1 < batch_size:  # batch norm has no variance over one sample
                continue
            optimizer.zero_grad()
            nn.functional.mse_loss(both(inputs[rows]), inputs[rows]).backward()
            optimizer.step()
    optimizer.zero_grad()
    return nn.functional.mse_loss(encode(both, inputs), inputs).item()


def encode(layers: nn.Module, inputs: Tensor) -> Tensor:
    """What the layers make of all inputs, as in evaluation, without gradients."""
    layers.eval()
    with torch.no_grad():
        outputs: Tensor = layers(inputs)
    layers.train()
    return outputs
