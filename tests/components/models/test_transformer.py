from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from hpo_cli.components.layers import last_linear, layer_groups
from hpo_cli.components.models.transformer import Attention, SinusoidalPositions, Transformer
from hpo_cli.errors import ConfigError

VOCABULARY, WINDOW = 11, 6
SMALL = {"depth": 2, "width": 16, "heads": 4}


def language(**keys: object) -> Transformer:
    torch.manual_seed(0)
    sizes = {"input_shape": (WINDOW,), "num_outputs": VOCABULARY, "num_tokens": VOCABULARY}
    return Transformer(**{**sizes, **SMALL, **keys})  # type: ignore[arg-type]


def tokens(rows: int = 4, length: int = WINDOW) -> torch.Tensor:
    return torch.randint(VOCABULARY, (rows, length), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("causal", [True, False])
def test_attention_equals_torchs(causal: bool) -> None:
    ours, theirs = Attention(16, heads=4, causal=causal), nn.MultiheadAttention(16, 4, batch_first=True)
    theirs.in_proj_weight, theirs.in_proj_bias = ours.inputs.weight, ours.inputs.bias
    theirs.out_proj.weight, theirs.out_proj.bias = ours.output.weight, ours.output.bias
    x = torch.randn(3, WINDOW, 16)
    mask = torch.ones(WINDOW, WINDOW, dtype=torch.bool).triu(1) if causal else None
    torch.testing.assert_close(ours(x), theirs(x, x, x, attn_mask=mask, need_weights=False)[0])


def test_a_block_equals_torchs_layer() -> None:
    block = language().blocks[0]
    theirs = nn.TransformerEncoderLayer(
        16, 4, dim_feedforward=64, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
    )
    pairs = {
        "self_attn.in_proj_": block.attention.inputs,  # type: ignore[union-attr]
        "self_attn.out_proj.": block.attention.output,  # type: ignore[union-attr]
        "linear1.": block.feed_forward[0],  # type: ignore[index]
        "linear2.": block.feed_forward[2],  # type: ignore[index]
        "norm1.": block.norm1,
        "norm2.": block.norm2,
    }
    theirs.load_state_dict({f"{to}{name}": p for to, layer in pairs.items() for name, p in layer.named_parameters()})  # type: ignore[union-attr]
    x = torch.randn(3, WINDOW, 16)
    mask = torch.ones(WINDOW, WINDOW, dtype=torch.bool).triu(1)
    torch.testing.assert_close(block(x), theirs(x, src_mask=mask))


@pytest.mark.parametrize("positions", ["learned", "sinusoidal"])
def test_a_position_of_a_text_knows_nothing_of_what_follows(positions: str) -> None:
    net, one = language(positions=positions).eval(), tokens()
    other = one.clone()
    other[:, 3] = (other[:, 3] + 1) % VOCABULARY
    before, after = net(one), net(other)
    torch.testing.assert_close(before[:, :, :3], after[:, :, :3], rtol=0, atol=0)
    assert (before[:, :, 3:] - after[:, :, 3:]).abs().amax((0, 1)).min() > 1e-4


def test_every_position_of_a_sequence_sees_every_other() -> None:
    """The negative control of the causal mask: without tokens there is none."""
    block = Transformer(input_shape=(1, WINDOW), num_outputs=2, **SMALL).blocks[0]  # type: ignore[arg-type]
    x = torch.randn(1, WINDOW, 16, requires_grad=True)
    block(x)[0, 0].sum().backward()
    assert (x.grad[0].abs().amax(1) > 0).all()  # type: ignore[index]


def test_a_shorter_window_gives_the_same_beginning() -> None:
    net = language().eval()
    torch.testing.assert_close(net(tokens()[:, :4]), net(tokens())[:, :, :4])


def test_without_positions_the_order_would_not_count() -> None:
    x = torch.randn(3, 2, WINDOW)
    turned = x.flip(2)
    net = Transformer(input_shape=(2, WINDOW), num_outputs=2, **SMALL).eval()  # type: ignore[arg-type]
    assert not torch.allclose(net(x), net(turned), atol=1e-4)
    net.positions = nn.Identity()
    torch.testing.assert_close(net(x), net(turned))


@pytest.mark.parametrize("width", [6, 7])
def test_sinusoids_are_those_of_the_paper(width: int) -> None:
    waves = SinusoidalPositions(9, width)(torch.zeros(1, 9, width))[0]
    for position in range(9):
        for place in range(width):
            angle = position / 10000 ** (place // 2 * 2 / width)
            expected = math.sin(angle) if place % 2 == 0 else math.cos(angle)
            assert waves[position, place].item() == pytest.approx(expected, abs=1e-5)


def test_heads_must_divide_the_width() -> None:
    with pytest.raises(ConfigError, match=r"model\.heads=5: must divide the width of 16; choose one of 1, 2, 4, 8, 16"):
        language(heads=5)


@pytest.mark.parametrize(("shape", "fix"), [((30,), "mlp"), ((1, 8, 8), "cnn")])
def test_tables_and_images_are_refused(shape: tuple[int, ...], fix: str) -> None:
    with pytest.raises(ConfigError, match=rf"model=transformer: needs sequences .*; set model={fix}"):
        Transformer(input_shape=shape, num_outputs=2)


def test_unknown_positions_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"model\.positions=learnt: .*did you mean learned"):
        language(positions="learnt")


def test_rates_are_hot_and_silent_in_evaluation() -> None:
    net = language()
    plain = net(tokens())
    rates = [module for module in net.modules() if hasattr(module, "p")]
    assert len(rates) == 1 + 2 * 2
    for module in rates:
        module.p = 0.5
    assert not torch.allclose(net(tokens()), plain)
    torch.testing.assert_close(net.eval()(tokens()), plain)


def test_deeper_blocks_are_left_out_more_often() -> None:
    net = language(depth=4, stochastic_depth=0.4)
    assert [block.left_out.share for block in net.blocks] == [0.25, 0.5, 0.75, 1.0]  # type: ignore[union-attr]
    assert {block.left_out.p for block in net.blocks} == {0.4}  # type: ignore[union-attr]


def test_layers_are_counted_from_the_embedding_to_the_head() -> None:
    net = language()
    groups = [
        {".".join(name.split(".")[: 1 + name.startswith("blocks")]) for name, _ in group} for group in layer_groups(net)
    ]
    assert groups == [{"embedding"}, {"positions"}, {"blocks.0"}, {"blocks.1", "norm"}, {"head"}]
    assert last_linear(net) is net.head


def test_the_loss_can_be_derived_twice() -> None:
    net = language().double()
    loss = nn.functional.cross_entropy(net(tokens(2)), tokens(2).roll(1, 1))
    weights = list(net.parameters())
    gradients = torch.autograd.grad(loss, weights, create_graph=True)
    second = torch.autograd.grad(sum(g.square().sum() for g in gradients), weights)  # type: ignore[arg-type]
    assert all(g.isfinite().all() for g in second)


def test_it_learns_to_repeat_what_it_has_seen() -> None:
    """The second half of each window is its first half again: only attention to earlier positions can know."""
    torch.manual_seed(0)
    half = torch.randint(4, (512, 4))
    x = torch.cat((half, half), dim=1)
    net = Transformer(input_shape=(7,), num_outputs=4, num_tokens=4, depth=2, width=32, heads=2)
    optimizer = torch.optim.Adam(net.parameters(), lr=5e-3)
    for step in range(150):
        rows = torch.arange(step * 64, step * 64 + 64) % 512
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(x[rows, :-1]), x[rows, 1:]).backward()
        optimizer.step()
    right = net(x[:, :-1]).argmax(1) == x[:, 1:]
    assert right[:, 3:].float().mean() > 0.95
    assert right[:, :3].float().mean() < 0.5
