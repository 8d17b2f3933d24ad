"""Weighted sums on one head, multi-task sums over columns, and what is refused in them."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import nn

from hpo_cli.components.data.arrays import TargetColumn
from hpo_cli.components.losses import (
    BinaryCrossEntropy,
    BinaryFocal,
    Center,
    CrossEntropy,
    Focal,
    MultiTask,
    WeightedBinary,
    WeightedClasses,
    WeightedTargets,
)
from hpo_cli.components.losses.terms import simple_losses
from hpo_cli.errors import ConfigError
from hpo_cli.options import list_options

if TYPE_CHECKING:
    from collections.abc import Callable

COLUMNS = (TargetColumn("price"), TargetColumn("kind", ("a", "b", "c")), TargetColumn("a.size"))


def test_the_default_is_one_plain_loss() -> None:
    torch.manual_seed(0)
    outputs, classes, numbers = torch.randn(6, 3), torch.arange(6) % 3, torch.randn(6, 3)
    assert torch.equal(WeightedClasses()(outputs, classes), nn.CrossEntropyLoss()(outputs, classes))
    assert torch.equal(WeightedTargets()(outputs, numbers), nn.MSELoss()(outputs, numbers))
    assert torch.equal(WeightedBinary()(outputs[:, :1], classes % 2), BinaryCrossEntropy()(outputs[:, :1], classes % 2))


def test_a_sum_is_the_weighted_sum_of_its_losses() -> None:
    torch.manual_seed(0)
    outputs, y = torch.randn(6, 3), torch.arange(6) % 3
    loss = WeightedClasses(
        terms={"ce": {"loss": "cross_entropy"}, "sharp": {"loss": "focal", "weight": 0.5, "gamma": 3.0}},
        label_smoothing=0.1,
    )
    wanted = CrossEntropy(label_smoothing=0.1)(outputs, y) + 0.5 * Focal(gamma=3.0, label_smoothing=0.1)(outputs, y)
    torch.testing.assert_close(loss(outputs, y), wanted)
    binary = WeightedBinary(terms={"bce": 2, "focal_binary": 0.5})
    wanted = 2.0 * BinaryCrossEntropy()(outputs[:, :1], y % 2) + 0.5 * BinaryFocal()(outputs[:, :1], y % 2)
    torch.testing.assert_close(binary(outputs[:, :1], y % 2), wanted)
    numbers = WeightedTargets(terms={"mae": 0.3, "huber": {"delta": 0.5}})
    wanted = 0.3 * nn.L1Loss()(outputs, outputs**2) + nn.HuberLoss(delta=0.5)(outputs, outputs**2)
    torch.testing.assert_close(numbers(outputs, outputs**2), wanted)


def test_weights_and_smoothing_change_while_training() -> None:
    outputs, y = torch.tensor([[2.0, 0.0, 1.0]]), torch.tensor([0])
    loss = WeightedClasses(terms={"cross_entropy": 1.0, "focal": 1.0})
    loss.terms["focal"].weight = 0.0
    loss.label_smoothing = 0.3
    assert torch.equal(loss(outputs, y), CrossEntropy(label_smoothing=0.3)(outputs, y))
    assert loss.label_smoothing == 0.3
    assert not hasattr(WeightedTargets(), "label_smoothing")


def test_center_can_be_a_term() -> None:
    torch.manual_seed(0)
    outputs, y, features = torch.randn(6, 3), torch.arange(6) % 3, torch.randn(6, 4)
    terms = {"focal": 1.0, "tight": {"loss": "center", "weight": 0.2, "center_lr": 1.0}}
    loss = WeightedClasses(num_outputs=3, num_features=4, terms=terms)
    center = Center(num_outputs=3, num_features=4, center_lr=1.0)
    assert loss.needs_features
    assert not WeightedClasses().needs_features
    for _ in range(2):
        wanted = Focal()(outputs, y) + 0.2 * center(outputs, y, features)
        torch.testing.assert_close(loss(outputs, y, features), wanted)
    centres = center.centers.clone()
    loss.eval()(outputs, y, features)
    torch.testing.assert_close(loss.state_dict()["losses.1.centers"], centres)


def test_a_copy_shares_nothing_and_stays_whole() -> None:
    loss = WeightedClasses(num_outputs=3, terms={"cross_entropy": {"class_weights": [1.0, 2.0, 3.0]}})
    twin = copy.deepcopy(loss).double()
    twin.terms["cross_entropy"].weight = 5.0
    assert loss.terms["cross_entropy"].weight == 1.0
    assert twin.terms["cross_entropy"].loss is twin.losses[0]
    assert twin(torch.zeros(3, 3, dtype=torch.float64), torch.arange(3)).dtype == torch.float64


def test_balanced_weights_reach_a_term() -> None:
    loss = WeightedClasses(num_outputs=2, class_counts=(30, 10), terms={"focal": {"class_weights": "balanced"}})
    torch.testing.assert_close(loss.get_buffer("losses.0.class_weights"), torch.tensor([2.0 / 3.0, 2.0]))


def test_multi_task_is_the_sum_of_separate_losses() -> None:
    torch.manual_seed(0)
    outputs, targets = torch.randn(8, 5), torch.randn(8, 3)
    targets[:, 1] = torch.arange(8) % 3
    terms = {"price": {"loss": "huber", "weight": 0.5, "delta": 0.2}, "kind": 2.0}
    loss = MultiTask(columns=COLUMNS, terms=terms, label_smoothing=0.1)
    wanted = (
        0.5 * nn.HuberLoss(delta=0.2)(outputs[:, 0], targets[:, 0])
        + 2.0 * nn.CrossEntropyLoss(label_smoothing=0.1)(outputs[:, 1:4], targets[:, 1].long())
        + nn.MSELoss()(outputs[:, 4], targets[:, 2])
    )
    torch.testing.assert_close(loss(outputs, targets), wanted)
    loss.terms["a.size"].weight = 0.0
    without = torch.cat((outputs[:, :4], torch.full((8, 1), 1e3)), 1)
    torch.testing.assert_close(loss(without, targets), wanted - nn.MSELoss()(outputs[:, 4], targets[:, 2]))


def test_multi_task_gives_every_column_a_gradient_of_its_own() -> None:
    outputs = torch.zeros(8, 5, requires_grad=True)
    targets = torch.ones(8, 3)
    MultiTask(columns=COLUMNS, terms={"a.size": 0.0})(outputs, targets).backward()
    assert outputs.grad is not None
    assert outputs.grad.abs().sum(0).gt(0).tolist() == [True, True, True, True, False]


def test_a_column_of_classes_can_have_a_centre() -> None:
    loss = MultiTask(columns=COLUMNS, num_features=4, terms={"kind": {"loss": "center", "weight": 0.1}})
    assert loss.needs_features
    assert loss.state_dict()["losses.1.centers"].shape == (3, 4)
    assert loss(torch.zeros(2, 5), torch.zeros(2, 3), torch.ones(2, 4)).isfinite()


def test_every_simple_loss_of_the_head_can_be_a_term() -> None:
    heads = {option.name: option.defaults["head"] for option in list_options("loss").values()}
    for head in ("classes", "one", "targets"):
        names = {name for name, own in heads.items() if own == head} - {"cross_entropy_center"}
        names = {name for name in names if not name.startswith("weighted")}
        assert set(simple_losses(head)) == names | ({"center"} if head == "classes" else set())
        assert len(names) >= 2


@pytest.mark.parametrize(
    ("kind", "terms", "line"),
    [
        (WeightedClasses, {"focal": -1.0}, "loss.terms.focal.weight=-1.0: must be at least 0"),
        (WeightedClasses, {"focal": float("nan")}, "loss.terms.focal.weight=nan: must be a finite number"),
        (WeightedClasses, {"focal": True}, "loss.terms.focal.weight=true: must be a number"),
        (WeightedClasses, {"focal": {"weight": "much"}}, "loss.terms.focal.weight=much: must be a number"),
        (WeightedClasses, {"mine": 1.0}, "loss.terms.mine.loss=null: must be one of cross_entropy, focal, center"),
        (WeightedClasses, {"a": {"loss": "focl"}}, "did you mean focal?"),
        (WeightedClasses, {"a": {"loss": ["focal"]}}, "loss.terms.a.loss=[focal]: must be one of"),
        (WeightedClasses, {"a": {"loss": "mse"}}, "loss.terms.a.loss=mse: must be one of cross_entropy"),
        (WeightedClasses, {"a": {"loss": "weighted"}}, "loss.terms.a.loss=weighted: must be one of"),
        (WeightedClasses, {"focal": {"gama": 1.0}}, "loss.terms.focal.gama: not an option of focal (weight, gamma"),
        (WeightedClasses, {"focal": {"gamma": -1.0}}, "loss.terms.focal.gamma=-1.0: must be at least 0"),
        (WeightedClasses, {"focal": {"label_smoothing": 0.1}}, "set regularization.label_smoothing"),
        (WeightedClasses, {"focal": {"class_weights": "even"}}, "loss.terms.focal.class_weights=even: must be null"),
        (WeightedClasses, {"focal": {"_target_": "os.system"}}, "loss.terms.focal._target_: not an option"),
        (WeightedClasses, {"focal": 1.0, "center": 1.0}, "loss.terms.center: needs a model"),
        (WeightedClasses, {"a": {"loss": "center", "center_lr": 2.0}}, "loss.terms.a.center_lr=2.0: must be above 0"),
        (WeightedClasses, {"focal": "much"}, "loss.terms.focal=much: must be a weight, or a mapping"),
        (WeightedClasses, {}, "loss.terms: no loss has a weight above 0"),
        (WeightedTargets, {"mse": 0.0, "mae": 0.0}, "loss.terms: no loss has a weight above 0"),
        (WeightedBinary, ["bce"], "loss.terms=[bce]: must be a mapping"),
    ],
)
def test_a_wrong_term_is_refused_in_one_line(kind: Callable[..., nn.Module], terms: Any, line: str) -> None:
    given = {"num_outputs": 3} if kind is WeightedClasses else {}
    with pytest.raises(ConfigError) as caught:
        kind(**given, terms=terms)
    assert line in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("terms", "line"),
    [
        ({"prize": 1.0}, "loss.terms.prize: no such target column (price, kind, a.size); did you mean price?"),
        ({"price": {"weight": -0.5}}, "loss.terms.price.weight=-0.5: must be at least 0"),
        ({"price": {"loss": "cross_entropy"}}, "loss.terms.price.loss=cross_entropy: must be one of huber, mae, mse"),
        ({"kind": {"loss": "mse"}}, "loss.terms.kind.loss=mse: must be one of cross_entropy"),
        ({"kind": {"class_weights": [1.0, 2.0]}}, "loss.terms.kind.class_weights=[1.0,2.0]: must have one number for"),
        ({"kind": {"class_weights": "balanced"}}, "loss.terms.kind.class_weights=balanced: needs the class counts"),
        ({"price": 0, "kind": 0, "a.size": 0}, "loss.terms: no loss has a weight above 0"),
        (3.0, "loss.terms=3.0: must be a mapping"),
    ],
)
def test_a_wrong_column_is_refused_in_one_line(terms: Any, line: str) -> None:
    with pytest.raises(ConfigError) as caught:
        MultiTask(columns=COLUMNS, terms=terms)
    assert line in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_multi_task_needs_columns() -> None:
    with pytest.raises(ConfigError, match=r"loss=multi_task: is for several .*; set data\.task=several"):
        MultiTask(columns=None)
