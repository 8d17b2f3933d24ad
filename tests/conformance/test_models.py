"""Every model option gives raw outputs of the right shape, and each of its parameters a finite gradient."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import nn

from hpo_cli.components.build import bound, build, resolve
from hpo_cli.errors import ConfigError
from tests.conformance.options import collect, component_of, name_of

if TYPE_CHECKING:
    from torch import Tensor

    from hpo_cli.options import Option

BATCH = 8


@dataclass(frozen=True)
class Samples:
    """A kind of data: floats of one shape, or windows of tokens whose next ones are to be told."""

    shape: tuple[int, ...]
    num_outputs: int = 5
    num_tokens: int | None = None

    def draw(self) -> Tensor:
        size = (BATCH, *self.shape)
        return torch.randn(size) if self.num_tokens is None else torch.randint(self.num_tokens, size)

    def targets(self) -> Tensor:
        size = (BATCH, *(self.shape if self.num_tokens else ()))
        return torch.randint(self.num_outputs, size)

    @property
    def output_shape(self) -> tuple[int, ...]:
        return (BATCH, self.num_outputs, *(self.shape if self.num_tokens else ()))


KINDS = {
    "table": Samples((30,)),
    "sequence": Samples((1, 40)),
    "tiny image": Samples((1, 8, 8)),
    "colour image": Samples((3, 28, 28)),
    "text": Samples((16,), num_outputs=12, num_tokens=12),
}
FITTING = {
    "cnn": 3, "densenet": 3, "gru": 2, "lstm": 2, "mlp": 4, "resnet": 3, "senet": 3, "timm": 2, "torchvision": 2,
    "transformer": 2,
}  # fmt: skip
"""Option -> how many kinds of data it takes with its defaults."""
SMALL = {"densenet": {"depth": 10}, "resnet": {"depth": 8}, "senet": {"depth": 8}}
"""Keys with which the variants of an option are quick."""
LARGE = [
    *[("torchvision", name, 28) for name in ("googlenet", "mobilenet_v3_small", "shufflenet_v2_x0_5", "squeezenet1_0")],
    *[
        ("torchvision", name, 28)
        for name in ("efficientnet_b0", "mobilenet_v2", "resnet50", "regnet_y_400mf", "swin_t")
    ],
    *[("torchvision", name, 64) for name in ("alexnet", "vgg11", "vgg11_bn", "densenet121", "convnext_tiny")],
    *[("torchvision", "inception_v3", 75), ("torchvision", "vit_b_16", 224)],
    *[("timm", name, 28) for name in ("resnet10t", "mobilenetv3_small_050", "nasnetalarge")],
    *[("timm", "densenet121", 32), ("timm", "inception_v3", 75), ("timm", "vit_tiny_patch16_224", 224)],
]
MODELS = collect("model")
VARIANTS = [
    pytest.param(option, {key: value, **SMALL.get(option.name, {})}, id=f"{option.name} {key}={value}")
    for option in MODELS
    for key, rule in option.rules.items()
    for value in rule.get("one_of", ())
] + [pytest.param(option, {}, id=option.name) for option in MODELS]


def test_variants_are_collected() -> None:
    assert len(VARIANTS) >= 60


@pytest.mark.parametrize(("option", "changes"), VARIANTS)
def test_gives_outputs_and_gradients_or_refuses(option: Option, changes: dict[str, Any]) -> None:
    built_for = {name: net for name, kind in KINDS.items() if (net := built(option, kind, changes))}
    assert {name: flaws(net, KINDS[name]) for name, net in built_for.items()} == {name: [] for name in built_for}
    assert len(built_for) >= (1 if changes else FITTING.get(option.name, 1))


@pytest.mark.parametrize("option", MODELS, ids=name_of)
def test_is_copied_saved_and_loaded(option: Option) -> None:
    kind = next(kind for kind in KINDS.values() if built(option, kind, SMALL.get(option.name, {})))
    first, second = (built(option, kind, SMALL.get(option.name, {}), seed=seed) for seed in (0, 1))
    assert first is not None
    assert second is not None
    second.load_state_dict(first.state_dict())
    third = copy.deepcopy(first)
    x = kind.draw()
    outputs = [net.eval()(x) for net in (first, second, third)]
    assert torch.equal(outputs[0], outputs[1])
    assert torch.equal(outputs[0], outputs[2])


@pytest.mark.slow
@pytest.mark.parametrize(("library", "name", "size"), LARGE, ids=str)
def test_a_large_model_trains_on_small_images(library: str, name: str, size: int) -> None:
    option = next(option for option in MODELS if option.name == library)
    kind = KINDS["colour image"]
    net = built(option, kind, {"name": name, "resize": None if size == kind.shape[1] else size})
    assert net is not None
    assert flaws(net, kind) == []


def test_a_faulty_model_is_noticed() -> None:
    class Unused(nn.Linear):
        def __init__(self) -> None:
            super().__init__(30, 5)
            self.extra = nn.Parameter(torch.zeros(1))

    kind = KINDS["table"]
    assert flaws(nn.Linear(30, 4), kind) == ["shape"]
    assert flaws(Unused(), kind) == ["extra"]
    assert flaws(nn.Linear(30, 5), kind) == []


def test_a_faulty_model_of_text_is_noticed() -> None:
    kind = KINDS["text"]
    rows = nn.Embedding(12, 12)
    assert flaws(rows, kind) == ["shape"]
    assert flaws(nn.Sequential(rows, nn.Conv1d(16, 12, 5, padding=2), nn.AdaptiveAvgPool1d(16)), kind) == []


def built(option: Option, kind: Samples, changes: dict[str, Any], *, seed: int = 0) -> nn.Module | None:
    """The model for such data, or None when it refuses them; tokens go to models that ask how many there are."""
    given = {"input_shape": kind.shape, "num_outputs": kind.num_outputs, "num_tokens": kind.num_tokens}
    component = component_of(option, **changes)
    if kind.num_tokens and "num_tokens" not in bound(component, resolve(component), given):
        return None
    torch.manual_seed(seed)
    try:
        net: nn.Module = build(component, **given)
    except ConfigError:
        return None
    return net


def flaws(net: nn.Module, kind: Samples) -> list[str]:
    """`shape` for a wrong output shape, else the names of parameters without a finite gradient."""
    outputs = net(kind.draw())
    if not isinstance(outputs, torch.Tensor) or outputs.shape != kind.output_shape:
        return ["shape"]
    nn.functional.cross_entropy(outputs, kind.targets()).backward()
    return [name for name, p in net.named_parameters() if p.grad is None or not p.grad.isfinite().all()]
