"""torchvision and timm by name. Every larger model is run by the slow test in tests/conformance."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any
from urllib.error import URLError

import pytest
import torch
from torch import nn

from hpo_cli.components.dropout import Dropout, StochasticDepth
from hpo_cli.components.models import adapt
from hpo_cli.components.models.library import timm_model, torchvision_model
from hpo_cli.components.torchvision_ops import import_vision
from hpo_cli.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

GREY, COLOUR = (1, 28, 28), (3, 28, 28)
models = import_vision("torchvision.models", key="model", value="torchvision")
timm = import_vision("timm", key="model", value="timm")


def count(net: nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())


@pytest.mark.parametrize("name", ["resnet18", "squeezenet1_1", "mobilenet_v3_small"])
def test_colour_images_get_the_librarys_own_network(name: str) -> None:
    torch.manual_seed(0)
    ours = torchvision_model(input_shape=COLOUR, num_outputs=7, name=name)
    torch.manual_seed(0)
    theirs = models.get_model(name, num_classes=7)
    x = torch.randn(4, *COLOUR)
    torch.testing.assert_close(ours.eval()(x), theirs.eval()(x))


def test_timm_gives_its_own_network() -> None:
    torch.manual_seed(0)
    ours = timm_model(input_shape=GREY, num_outputs=7, name="test_resnet")
    torch.manual_seed(0)
    theirs = timm.create_model("test_resnet", in_chans=1, num_classes=7)
    x = torch.randn(4, *GREY)
    torch.testing.assert_close(ours.eval()(x), theirs.eval()(x))


def test_parameters_are_the_published_ones() -> None:
    """torchvision's table of weights; the stem of grey images has a third of the weights, the head 10 outputs."""
    published = models.get_model_weights("resnet18").DEFAULT.meta["num_params"]
    net = torchvision_model(input_shape=GREY, num_outputs=10)
    assert count(net) == published - 2 * 64 * 7 * 7 - 990 * 513


@pytest.mark.parametrize("name", ["squeezenet1_1", "densenet121", "googlenet", "resnet18"])
def test_the_smallest_size_is_the_published_one(name: str) -> None:
    net = torchvision_model(input_shape=COLOUR, num_outputs=7, name=name, resize=32)
    net._forward_pre_hooks.clear()
    assert adapt.smallest_size(net, 3) == models.get_model_weights(name).DEFAULT.meta["min_size"][0]


def test_images_that_are_too_small_are_refused_with_the_way_out() -> None:
    with pytest.raises(
        ConfigError, match=r"^model\.name=densenet121: samples .* 1x28x28, .* is 29x29; set .*resize=29$"
    ):
        torchvision_model(input_shape=GREY, num_outputs=7, name="densenet121")
    with pytest.raises(
        ConfigError, match=r"^model\.resize=20: does not fit, .* densenet121 is 29x29; set .*resize=29$"
    ):
        torchvision_model(input_shape=GREY, num_outputs=7, name="densenet121", resize=20)
    net = torchvision_model(input_shape=GREY, num_outputs=7, name="densenet121", resize=29)
    assert net(torch.randn(2, *GREY)).shape == (2, 7)


def test_images_are_resized_inside_the_model_and_in_its_copies() -> None:
    torch.manual_seed(0)
    net = timm_model(input_shape=GREY, num_outputs=7, name="test_resnet").eval()
    torch.manual_seed(0)
    resizing = timm_model(input_shape=GREY, num_outputs=7, name="test_resnet", resize=40).eval()
    x = torch.randn(2, *GREY)
    expected = net(nn.functional.interpolate(x, size=(40, 40), mode="bilinear"))
    torch.testing.assert_close(resizing(x), expected)
    torch.testing.assert_close(copy.deepcopy(resizing)(x), expected)
    assert list(resizing.state_dict()) == list(net.state_dict())
    assert not torch.allclose(net(x), expected)


def test_dropout_reaches_the_librarys_own_layers() -> None:
    net = torchvision_model(input_shape=GREY, num_outputs=7, name="mobilenet_v3_small", dropout=0.3)
    assert [(name, layer.p) for name, layer in net.named_modules() if isinstance(layer, Dropout)] == [
        ("classifier.2", 0.3)
    ]


@pytest.mark.parametrize(
    ("make", "name"), [(torchvision_model, "resnet18"), (timm_model, "test_resnet"), (timm_model, "test_efficientnet")]
)
def test_a_model_without_dropout_layers_gets_one_before_its_last(make: Callable[..., nn.Module], name: str) -> None:
    net = make(input_shape=GREY, num_outputs=7, name=name, dropout=0.3)
    layers = list(net.modules())
    assert isinstance(layers[-2], Dropout)
    assert layers[-2].p == 0.3
    assert isinstance(layers[-1], nn.Linear)
    assert not any(getattr(layer, "drop_rate", 0) for layer in layers)


def test_branches_are_dropped_where_there_are_any() -> None:
    net = timm_model(input_shape=GREY, num_outputs=7, name="seresnet18", stochastic_depth=0.4)
    shares = [layer.share for layer in net.modules() if isinstance(layer, StochasticDepth)]
    assert shares == pytest.approx([i / 7 for i in range(1, 8)])
    assert {layer.p for layer in net.modules() if isinstance(layer, StochasticDepth)} == {0.4}
    with pytest.raises(ConfigError, match=r"^model\.stochastic_depth=0\.4: has nothing to drop in resnet18; set reg"):
        torchvision_model(input_shape=GREY, num_outputs=7, stochastic_depth=0.4)


def test_torchvisions_branches_are_dropped_too() -> None:
    net = torchvision_model(input_shape=GREY, num_outputs=7, name="efficientnet_b0", stochastic_depth=0.4)
    rates = [layer.p * layer.share for layer in net.modules() if isinstance(layer, StochasticDepth)]
    assert rates == pytest.approx([0.4 * i / 15 for i in range(16)])
    assert net(torch.randn(2, *GREY)).shape == (2, 7)


def test_googlenet_gives_logits_alone_while_it_trains() -> None:
    net = torchvision_model(input_shape=GREY, num_outputs=7, name="googlenet").train()
    assert net(torch.randn(2, *GREY)).shape == (2, 7)


def test_pretrained_weights_are_asked_for_and_fitted(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[dict[str, Any]] = []
    whole: list[nn.Module] = []
    get_model = models.get_model

    def fetch(name: str, **keys: Any) -> nn.Module:
        calls.append({"name": name, **keys})
        whole.append(copy.deepcopy(net := get_model(name)))
        return net  # type: ignore[no-any-return]

    monkeypatch.setattr(models, "get_model", fetch)
    ours = torchvision_model(input_shape=GREY, num_outputs=7, pretrained=True)
    assert calls == [{"name": "resnet18", "weights": "DEFAULT"}]
    (theirs,) = whole
    x = torch.randn(2, *GREY)
    torch.testing.assert_close(ours.conv1(x), theirs.conv1(x.expand(2, 3, 28, 28)))
    same = [n for n, p in ours.state_dict().items() if torch.equal(p, theirs.state_dict().get(n, torch.empty(0)))]
    assert set(theirs.state_dict()) - set(same) == {"conv1.weight", "fc.weight", "fc.bias"}
    assert ours(x).shape == (2, 7)


def test_timms_weights_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[dict[str, Any]] = []
    create = timm.create_model

    def fetch(name: str, **keys: Any) -> nn.Module:
        calls.append({"name": name, "pretrained": keys.pop("pretrained")})
        return create(name, **keys)  # type: ignore[no-any-return]

    monkeypatch.setattr(timm, "create_model", fetch)
    timm_model(input_shape=GREY, num_outputs=7, name="test_resnet.r160_in1k", pretrained=True)
    assert calls == [{"name": "test_resnet.r160_in1k", "pretrained": True}]


def test_weights_that_cannot_be_fetched_are_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(name: str, **keys: Any) -> nn.Module:
        raise URLError("Name or service\nnot known")

    monkeypatch.setattr(models, "get_model", fail)
    monkeypatch.setattr(timm, "create_model", fail)
    for make, name in ((torchvision_model, "resnet18"), (timm_model, "test_resnet")):
        with pytest.raises(
            ConfigError, match=r"^model\.pretrained=true: the weights .*; set model\.pretrained="
        ) as caught:
            make(input_shape=GREY, num_outputs=7, name=name, pretrained=True)
        assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("make", "keys", "message"),
    [
        (torchvision_model, {"name": "resnet81"}, r"^model\.name=resnet81: is not in the library; did you mean resnet"),
        (torchvision_model, {"name": "zzz"}, r"^model\.name=zzz: is not .*; choose one of its \d+, such as alexnet, "),
        (torchvision_model, {"name": "fcn_resnet50"}, r"^model\.name=fcn_resnet50: is no image classifier"),
        (torchvision_model, {"name": "raft_small"}, r"^model\.name=raft_small: is no image classifier"),
        (torchvision_model, {"name": "r3d_18"}, r"^model\.name=r3d_18: is no image classifier"),
        (torchvision_model, {"input_shape": (1, 40)}, r"^model=torchvision: needs images .* are 1x40; set model=mlp$"),
        (timm_model, {"name": "seresnet81"}, r"^model\.name=seresnet81: is not in the library; did you mean seresnet"),
        (timm_model, {"name": "resnet18.none"}, r"^model\.name=resnet18\.none: is not in the library; did you mean r"),
        (timm_model, {"name": "hf-hub:a/b"}, r"^model\.name=hf-hub:a/b: must be a name .*, no address or path$"),
        (timm_model, {"name": "local-dir:/tmp"}, r"^model\.name=local-dir:/tmp: must be a name .*"),
        (timm_model, {"name": "../net"}, r"^model\.name=\.\./net: must be a name .*"),
        (timm_model, {"pretrained": True}, r"^model\.pretrained=true: seresnet18 has no weights to fetch"),
        (timm_model, {"input_shape": (30,)}, r"^model=timm: needs images .*, samples here are 30; set model=mlp$"),
        (timm_model, {"name": "test_vit"}, r"^model\.name=test_vit: samples here are 1x28x28, the smallest .*; set "),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_in_one_line(
    make: Callable[..., nn.Module], keys: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        make(**{"input_shape": GREY, "num_outputs": 10, **keys})
    assert len(str(caught.value).splitlines()) == 1


def test_a_network_that_gives_no_logits_is_refused() -> None:
    features = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten())
    with pytest.raises(ConfigError, match=r"^model\.name=features: is no classifier: it gives \(1, 2704\) for one "):
        adapt.check_forward(features, GREY, 7, name="features")


def test_a_check_leaves_the_network_as_it_was() -> None:
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    before = copy.deepcopy(net.state_dict())
    state = torch.get_rng_state()
    adapt.check_forward(net, GREY, 4, name="small")
    assert net.training
    assert torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
