from __future__ import annotations

import copy
import pickle

import pytest
import torch
from torch import nn

from hpo_cli.components.layers import last_linear, layer_groups
from hpo_cli.components.models.recurrent import GRU, LSTM, Recurrent
from hpo_cli.errors import ConfigError

KINDS = pytest.mark.parametrize("kind", [LSTM, GRU])
VOCABULARY, WINDOW = 11, 6


def language(kind: type[Recurrent], **keys: object) -> Recurrent:
    torch.manual_seed(0)
    sizes = {"input_shape": (WINDOW,), "num_outputs": VOCABULARY, "num_tokens": VOCABULARY, "width": 8, "embedding": 5}
    return kind(**{**sizes, **keys})  # type: ignore[arg-type]


def tokens(rows: int = 4, length: int = WINDOW) -> torch.Tensor:
    return torch.randint(VOCABULARY, (rows, length), generator=torch.Generator().manual_seed(1))


@KINDS
def test_equals_torchs_stack_with_the_same_weights(kind: type[Recurrent]) -> None:
    net = kind(input_shape=(3, 10), num_outputs=5, layers=3, width=8)
    theirs = kind.layer(3, 8, num_layers=3, batch_first=True)
    theirs.load_state_dict(
        {
            name.replace("l0", f"l{index}"): weight
            for index, layer in enumerate(net.layers)
            for name, weight in layer.state_dict().items()
        }
    )
    x = torch.randn(7, 3, 10)
    expected = net.head(theirs(x.transpose(1, 2))[0][:, -1])
    torch.testing.assert_close(net(x), expected)


@KINDS
def test_tokens_equal_an_embedding_before_torchs_layer(kind: type[Recurrent]) -> None:
    net = language(kind)
    hidden, _ = net.layers[0](nn.functional.embedding(tokens(), net.embedding.weight))  # type: ignore[union-attr,arg-type]
    outputs = net(tokens())
    assert outputs.shape == (4, VOCABULARY, WINDOW)
    for position in range(WINDOW):
        torch.testing.assert_close(outputs[:, :, position], net.head(hidden[:, position]))


@KINDS
def test_two_halves_with_carry_equal_the_whole(kind: type[Recurrent]) -> None:
    net = language(kind, layers=2).eval()
    text = tokens(length=2 * WINDOW)
    whole = net(text)
    net.carry({})
    halves = [net(half) for half in text.split(WINDOW, dim=1)]
    torch.testing.assert_close(torch.cat(halves, dim=2), whole)
    without = language(kind, layers=2, carry=False).eval()
    second = [without(half) for half in text.split(WINDOW, dim=1)][1]
    assert not torch.allclose(second, whole[:, :, WINDOW:])


@KINDS
def test_no_gradient_passes_from_a_batch_to_the_one_before_it(kind: type[Recurrent]) -> None:
    net = language(kind)
    net(tokens())
    assert all(not state.requires_grad for state in net.carried().values())
    started = net.carried()
    net(tokens(length=1)).sum().backward()
    gradient = net.layers[0].weight_ih_l0.grad
    expected = language(kind)
    expected.carry({name: state.clone() for name, state in started.items()})
    expected(tokens(length=1)).sum().backward()
    torch.testing.assert_close(gradient, expected.layers[0].weight_ih_l0.grad)


@KINDS
def test_what_is_carried_can_be_put_aside_and_taken_up_again(kind: type[Recurrent]) -> None:
    net = language(kind, layers=2)
    assert net.carried() == {}
    net(tokens())
    aside = net.carried()
    assert len(aside) == 2 * len(kind.states)
    assert all(state.shape == (1, 4, 8) for state in aside.values())
    went_on = net(tokens())
    net.carry({})
    fresh = net(tokens())
    net.carry(aside)
    torch.testing.assert_close(net(tokens()), went_on, rtol=0, atol=0)
    assert not torch.allclose(fresh, went_on)


@KINDS
def test_another_number_of_rows_starts_from_zero(kind: type[Recurrent]) -> None:
    net, fresh = language(kind), language(kind)
    net(tokens(rows=4))
    torch.testing.assert_close(net(tokens(rows=3)), fresh(tokens(rows=3)))
    assert all(state.shape[1] == 3 for state in net.carried().values())


@KINDS
def test_what_is_carried_is_in_no_saved_state(kind: type[Recurrent]) -> None:
    net = language(kind)
    before = list(net.state_dict())
    net(tokens())
    assert list(net.state_dict()) == before
    assert list(net.buffers()) == []
    for copied in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):  # noqa: S301 - its own bytes
        torch.testing.assert_close(copied.carried(), net.carried())


@KINDS
def test_the_state_follows_the_type_of_the_inputs(kind: type[Recurrent]) -> None:
    net = language(kind)
    net(tokens())
    assert net.double()(tokens()).dtype == torch.float64
    assert all(state.dtype == torch.float64 for state in net.carried().values())


@KINDS
def test_samples_of_numbers_carry_nothing(kind: type[Recurrent]) -> None:
    net = kind(input_shape=(1, 10), num_outputs=2)
    x = torch.randn(4, 1, 10)
    torch.testing.assert_close(net(x), net(x), rtol=0, atol=0)
    assert net.carried() == {}


@KINDS
def test_dropout_lies_between_layers_and_before_the_head_and_is_hot(kind: type[Recurrent]) -> None:
    net = language(kind, layers=2, carry=False)
    plain = net(tokens())
    net.dropout.p = 0.5
    calls: list[torch.Size] = []
    net.dropout.register_forward_hook(lambda *call: calls.append(call[2].shape))
    assert not torch.allclose(net(tokens()), plain)
    assert len(calls) == 2
    torch.testing.assert_close(net.eval()(tokens()), plain)


@KINDS
def test_layers_are_counted_from_the_embedding_to_the_head(kind: type[Recurrent]) -> None:
    net = language(kind, layers=2)
    names = [{name.rpartition(".")[0] for name, _ in group} for group in layer_groups(net)]
    assert names == [{"embedding"}, {"layers.0"}, {"layers.1"}, {"head"}]
    assert last_linear(net) is net.head


@KINDS
@pytest.mark.parametrize(("shape", "fix"), [((30,), "mlp"), ((1, 8, 8), "cnn")])
def test_tables_and_images_are_refused(kind: type[Recurrent], shape: tuple[int, ...], fix: str) -> None:
    with pytest.raises(ConfigError, match=rf"model={kind.__name__.lower()}: needs sequences .*; set model={fix}"):
        kind(input_shape=shape, num_outputs=2)


@KINDS
def test_it_learns_what_only_a_memory_can_know(kind: type[Recurrent]) -> None:
    """The class is the first of the window's characters, nine positions ago."""
    torch.manual_seed(0)
    x = torch.randn(256, 1, 10)
    y = (x[:, 0, 0] > 0).long()
    net = kind(input_shape=(1, 10), num_outputs=2, width=16)
    optimizer = torch.optim.Adam(net.parameters(), lr=0.02)
    for _ in range(80):
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(x), y).backward()
        optimizer.step()
    assert (net(x).argmax(1) == y).float().mean() > 0.95
