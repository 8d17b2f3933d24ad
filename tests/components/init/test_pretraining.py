from __future__ import annotations

from typing import Any

import pytest
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn

from hpo_cli.components.init import autoencoder
from hpo_cli.components.init.pretraining import encode, hidden_layers, train_encoder
from hpo_cli.components.models.cnn import CNN
from hpo_cli.components.models.mlp import MLP
from hpo_cli.errors import ConfigError

DIGITS = torch.tensor(load_digits().data, dtype=torch.float32).view(-1, 1, 8, 8)[:600] / 16.0 - 0.3


def pretrained(*, epochs: int, **keys: Any) -> MLP:
    """A small mlp after the pre-training of its layers on digits."""
    torch.manual_seed(0)
    net = MLP(**{"input_shape": (1, 8, 8), "num_outputs": 10, "depth": 3, "width": 20, **keys})
    autoencoder(net, samples=lambda: DIGITS, epochs=epochs, lr=5e-3)
    return net


def best_reconstruction_errors(net: MLP) -> list[float]:
    """For each hidden layer, the error of the best linear decoder, in closed form, over the variance of its inputs."""
    inputs, errors = DIGITS.flatten(1), []
    for layer in hidden_layers(net):
        outputs = encode(layer, inputs)
        with_ones = torch.cat([outputs, torch.ones(len(outputs), 1)], 1).double()
        decoded = with_ones @ torch.linalg.lstsq(with_ones, inputs.double(), driver="gelsd").solution
        errors.append(((inputs - decoded).square().mean() / inputs.var(0).mean()).item())
        inputs = outputs
    return errors


@pytest.mark.parametrize("keys", [{}, {"activation": "maxout"}, {"norm": "batch"}, {"dropout": 0.5}], ids=str)
def test_every_layer_keeps_more_of_what_it_was_given(keys: dict[str, Any]) -> None:
    drawn, trained = (best_reconstruction_errors(pretrained(epochs=epochs, **keys)) for epochs in (0, 20))
    assert len(drawn) == 3
    assert all(after < 0.8 * before for before, after in zip(drawn, trained, strict=True))


def test_a_linear_autoencoder_finds_the_principal_components() -> None:
    torch.manual_seed(0)
    inputs = DIGITS.flatten(1)
    encoder = nn.Sequential(nn.Linear(64, 5))
    error = train_encoder(encoder, inputs, epochs=100, batch_size=50, lr=5e-3)
    centred = (inputs - inputs.mean(0)).double()
    least = torch.linalg.svdvals(centred)[5:].square().sum().item() / inputs.numel()
    assert least <= error < 1.05 * least
    assert train_encoder(nn.Sequential(nn.Linear(64, 5)), inputs, epochs=0, batch_size=50, lr=5e-3) > 2 * least


def test_the_head_is_left_for_the_run() -> None:
    drawn, trained = (pretrained(epochs=epochs) for epochs in (0, 2))
    assert torch.equal(drawn.head.weight, trained.head.weight)
    assert not torch.equal(drawn.linear2.weight, trained.linear2.weight)


def test_the_model_stays_ready_for_training_without_gradients() -> None:
    net = pretrained(epochs=1, norm="batch")
    assert all(module.training for module in net.modules())
    assert all(parameter.grad is None for parameter in net.parameters())


def test_the_start_can_be_another_draw() -> None:
    net = MLP(input_shape=(1, 8, 8), num_outputs=10)
    autoencoder(net, samples=lambda: DIGITS, epochs=0, linear="orthogonal")
    torch.testing.assert_close(net.linear1.weight @ net.linear1.weight.T, torch.eye(128), atol=1e-5, rtol=0)


def test_it_is_a_function_of_the_seed() -> None:
    one, same = (nn.utils.parameters_to_vector(pretrained(epochs=2).parameters()) for _ in range(2))
    assert torch.equal(one, same)


def test_a_last_batch_of_one_sample_is_left_out_and_stops_nothing() -> None:
    net = MLP(input_shape=(1, 8, 8), num_outputs=10, norm="batch")
    samples: Tensor = DIGITS[:65]
    autoencoder(net, samples=lambda: samples, epochs=1, batch_size=64)
    assert all(parameter.isfinite().all() for parameter in net.parameters())


def test_models_without_hidden_layers_to_train_are_refused() -> None:
    cnn = CNN(input_shape=(1, 8, 8), num_outputs=10)
    with pytest.raises(
        ConfigError, match=r"^init=autoencoder: pre-trains .* mlp, the model is a CNN; set model=mlp or"
    ):
        autoencoder(cnn, samples=lambda: DIGITS)
    linear = MLP(input_shape=(1, 8, 8), num_outputs=10, depth=0)
    with pytest.raises(ConfigError, match=r"^model\.depth=0: leaves .* no hidden layer; set model\.depth=1$"):
        autoencoder(linear, samples=lambda: DIGITS)
