from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hpo_cli.components.mixing import Mixed, check_mixing, cut_and_mixed, draw_share, mix, mixed_up
from hpo_cli.errors import ConfigError

SHAPES = st.sampled_from([(7, 1, 8, 8), (5, 3, 9, 4), (6, 2, 30), (1, 1, 4, 4), (4, 1, 1, 1)])


def numbered(shape: tuple[int, ...]) -> torch.Tensor:
    """Samples that are constant, each with its own number, so that every value says where it came from."""
    return torch.arange(shape[0], dtype=torch.float64).view(-1, *[1] * (len(shape) - 1)).expand(shape).clone()


@pytest.mark.parametrize("alpha", [0.01, 0.2, 1.0, 3.0])
def test_shares_have_the_moments_of_beta(alpha: float) -> None:
    torch.manual_seed(0)
    shares = torch.tensor([draw_share(alpha) for _ in range(4000)])
    assert shares.mean().item() == pytest.approx(0.5, abs=0.03)
    assert shares.var().item() == pytest.approx(1.0 / (4.0 * (2.0 * alpha + 1.0)), rel=0.07)


def test_extreme_alphas_give_shares() -> None:
    torch.manual_seed(0)
    tiny, huge = ([draw_share(alpha) for _ in range(50)] for alpha in (1e-4, 1e6))
    assert all(0.0 <= share <= 1.0 for share in tiny)
    assert all(min(share, 1.0 - share) < 1e-6 for share in tiny)
    assert all(abs(share - 0.5) < 0.01 for share in huge)


@settings(deadline=None)  # the first call imports
@given(SHAPES, st.floats(0.0, 1.0), st.integers(0, 1000))
def test_mixup_is_the_sum_in_the_share_that_it_says(shape: tuple[int, ...], share: float, seed: int) -> None:
    torch.manual_seed(seed)
    x = torch.randn(shape, dtype=torch.float64)
    mixed = mixed_up(x, share=share)
    assert sorted(mixed.order.tolist()) == list(range(shape[0]))
    assert mixed.share == share
    torch.testing.assert_close(mixed.x, share * x + (1.0 - share) * x[mixed.order])


@settings(deadline=None)  # the first call imports
@given(SHAPES, st.floats(0.0, 1.0), st.integers(0, 1000))
def test_cutmix_puts_in_one_box_of_the_share_that_it_says(shape: tuple[int, ...], share: float, seed: int) -> None:
    torch.manual_seed(seed)
    x = numbered(shape)
    before = x.clone()
    mixed = cut_and_mixed(x, share=share)
    assert torch.equal(x, before)
    assert sorted(mixed.order.tolist()) == list(range(shape[0]))
    other = mixed.order.to(x.dtype).view(-1, *[1] * (len(shape) - 1))
    ours, theirs = mixed.x == x, mixed.x == other
    assert (ours | theirs).all()
    moved = mixed.order != torch.arange(shape[0])
    for sample in mixed.x[moved].ne(x[moved]):
        assert 1.0 - sample.double().mean().item() == pytest.approx(mixed.share)
        box = sample[0].nonzero()
        sides = box.amax(0) - box.amin(0) + 1 if len(box) else torch.zeros(1)
        assert sides.prod() * shape[1] == sample.sum()


def test_the_box_has_its_area_where_no_border_cuts_it() -> None:
    torch.manual_seed(0)
    shares = [cut_and_mixed(numbered((2, 1, 40, 40)), share=0.75).share for _ in range(300)]
    assert min(shares) == pytest.approx(0.75)
    assert max(shares) > 0.8
    of_signals = [cut_and_mixed(numbered((2, 1, 40)), share=0.75).share for _ in range(100)]
    assert min(of_signals) == pytest.approx(0.75)
    assert max(of_signals) > 0.8
    assert cut_and_mixed(numbered((2, 1, 40, 40)), share=1.0).share == 1.0
    assert cut_and_mixed(numbered((2, 1, 4, 40)), share=0.0).share < 1.0


def test_the_mixed_loss_of_a_mixed_batch_is_lowest_at_the_mixed_target() -> None:
    """Squared error: the gradient of share * loss(y) + (1 - share) * loss(y[order]) is zero at the mixture of both."""
    torch.manual_seed(0)
    y = torch.randn(6, 1, dtype=torch.float64)
    mixed = mix(y, mixup=1.0, cutmix=0.0)
    outputs = mixed.x.clone().requires_grad_()
    mse = torch.nn.functional.mse_loss
    loss = mixed.share * mse(outputs, y) + (1.0 - mixed.share) * mse(outputs, y[mixed.order])
    (gradient,) = torch.autograd.grad(loss, outputs)
    torch.testing.assert_close(gradient, torch.zeros_like(gradient))


def test_off_is_the_batch_itself() -> None:
    x = numbered((4, 1, 3, 3))
    mixed = mix(x, mixup=0.0, cutmix=0.0)
    assert mixed.x is x
    assert mixed.share == 1.0
    assert mixed.order.tolist() == [0, 1, 2, 3]


def is_cut(mixed: Mixed, x: torch.Tensor) -> bool:
    return bool(((mixed.x == x) | (mixed.x == x[mixed.order])).all())


def test_with_both_on_half_of_the_batches_are_cut() -> None:
    torch.manual_seed(0)
    x = torch.rand(8, 1, 6, 6)
    cut = [is_cut(mix(x, mixup=1.0, cutmix=1.0), x) for _ in range(400)]
    assert 0.4 < sum(cut) / 400 < 0.6
    assert not any(is_cut(mix(x, mixup=1.0, cutmix=0.0), x) for _ in range(20))
    assert all(is_cut(mix(x, mixup=0.0, cutmix=1.0), x) for _ in range(20))


def test_the_seed_decides() -> None:
    x, seen = torch.rand(8, 1, 6, 6), []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        seen.append(mix(x, mixup=0.4, cutmix=1.0))
    assert torch.equal(seen[0].x, seen[1].x)
    assert seen[0].share == seen[1].share != seen[2].share


def test_tables_cannot_be_cut() -> None:
    with pytest.raises(ConfigError, match=r"regularization\.cutmix=1\.0: cuts boxes") as caught:
        check_mixing(cutmix=1.0, input_shape=(64,))
    assert "set regularization.mixup instead" in str(caught.value)
    for cutmix, shape in ((0.0, (64,)), (1.0, (1, 40)), (1.0, (1, 8, 8))):
        check_mixing(cutmix=cutmix, input_shape=shape)
