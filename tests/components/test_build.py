"""Building from a config: only allowed modules, only keys of the signature, and one line for whatever goes wrong."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from hpo_cli.components.build import ALLOWED, bound, build, resolve
from hpo_cli.errors import ConfigError, UserError
from hpo_cli.plan import Component


def component(target: str | None, **args: Any) -> Component:
    return Component("model", "mine", target, args)


def refused(target: str | None, *, allow: tuple[str, ...] = (), **args: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        build(component(target, **args), allow=allow)
    line = str(caught.value)
    assert "\n" not in line
    return line


@pytest.mark.parametrize(
    "target",
    [
        "os.system", "builtins.eval", "builtins.exec", "subprocess.Popen", "subprocess.call", "torch.hub.load",
        "torch.load", "torch.jit.load", "importlib.import_module", "pickle.loads", "posix.system", "sys.exit",
        "hpo_cli.cli.main", "hpo_cli.verbs.train.main", "torchx.nn.Linear", "torch.nnx.Linear", "torch.optimx.A",
        "", ".", "..x", "torch", "torch.nn", "Linear", None, "os", "hpo_cli.components",
    ],
)  # fmt: skip
def test_nothing_outside_the_allowed_modules_is_found(target: str | None) -> None:
    assert "outside the allowed modules" in refused(target)


@pytest.mark.parametrize(
    "target",
    [
        "hpo_cli.components.build.importlib.import_module",
        "torch.nn.modules.module.torch.load",
        "torch.nn.functional.torch.hub.load",
        "torch.nn.Linear.__init__.__globals__",
        "torch.nn..Linear",
        "torch.nn.modules.no_such_module.X",
    ],
)
def test_there_is_no_way_through_an_allowed_module(target: str) -> None:
    line = refused(target)
    assert "cannot be imported" in line or "outside the allowed modules" in line


@pytest.mark.parametrize(
    "target",
    [
        "hpo_cli.components.build.did_you_mean", "hpo_cli.components.build.ConfigError",
        "torch.nn.modules.module.OrderedDict", "torch.nn.modules.module.namedtuple", "torch.nn.init.Callable",
        "torch.nn.modules.module.signature", "torch.optim.optimizer.deepcopy", "torch.nn.parameter.Parameter.__new__",
    ],
)  # fmt: skip
def test_what_an_allowed_module_merely_imports_is_refused(target: str) -> None:
    line = refused(target)
    assert "outside the allowed modules" in line or "cannot be imported" in line or " has no " in line


def test_a_name_that_is_only_imported_says_where_it_comes_from(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    from hpo_cli.components.models import mlp

    monkeypatch.setattr(mlp, "smuggled", os.system, raising=False)
    target = "hpo_cli.components.models.mlp.smuggled"
    assert refused(target).startswith(f"model._target_={target}: comes from posix, outside the allowed")
    assert callable(resolve(component(target), allow=["posix"]))


def test_a_missing_name_is_told_with_its_neighbour() -> None:
    assert refused("torch.nn.Linaer").endswith("torch.nn has no Linaer; did you mean Linear?")
    assert "torch.nn has no" in refused("torch.nn.")


@pytest.mark.parametrize("prefix", [prefix for prefixes in ALLOWED.values() for prefix in prefixes])
def test_allowed_prefixes_end_where_a_name_ends(prefix: str) -> None:
    assert prefix.endswith(".")


@pytest.fixture
def own_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    package = tmp_path / "my_pkg_of_tests"
    package.mkdir()
    (package / "__init__.py").write_text("from torch import nn\nfrom os import system\n")
    (package / "nets.py").write_text(
        "from torch import nn\n"
        "class Net(nn.Linear):\n"
        "    def __init__(self, *, input_shape, num_outputs, bias=True):\n"
        "        super().__init__(input_shape[0], num_outputs, bias=bias)\n"
        "def value(**keys):\n    raise ValueError('bad\\nworse')\n"
        "def kind(**keys):\n    raise TypeError\n"
        "def other(**keys):\n    raise KeyError('missing')\n"
    )
    (package / "broken.py").write_text("def f(:\n")
    (package / "angry.py").write_text("raise RuntimeError('no')\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "my_pkg_of_tests", raising=False)
    return "my_pkg_of_tests"


def test_a_package_of_the_users_own_is_built_when_allowed(own_package: str) -> None:
    net = component(f"{own_package}.nets.Net", bias=False)
    with pytest.raises(ConfigError, match=rf"allow_targets=\[{own_package}\] if you trust it"):
        build(net, input_shape=(3,), num_outputs=2)
    built = build(net, allow=[own_package], input_shape=(3,), num_outputs=2, unused=5)
    assert built.weight.shape == (2, 3)
    assert built.bias is None


def test_allowing_a_package_allows_neither_its_namesakes_nor_what_it_imports(own_package: str) -> None:
    assert "outside" in refused(f"{own_package}x.nets.Net", allow=(own_package,))
    assert "outside" in refused(f"{own_package}.system", allow=(own_package,))
    assert "outside" in refused("os.system", allow=("", ".", "o"))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("nets.value", "cannot be built: bad"), ("nets.kind", "cannot be built: TypeError"),
        ("nets.other", "cannot be built: KeyError 'missing'"), ("broken.f", "cannot be imported"),
        ("angry.f", "cannot be imported (RuntimeError no)"), ("nowhere.f", "cannot be imported"),
    ],
)  # fmt: skip
def test_whatever_the_users_code_raises_is_one_line(own_package: str, name: str, words: str) -> None:
    assert words in refused(f"{own_package}.{name}", allow=(own_package,))


def test_unknown_keys_are_all_named_with_the_signature() -> None:
    with pytest.raises(ConfigError) as caught:
        build(Component("optimizer", "sgd", "torch.optim.SGD", {"momentm": 1, "foo": 2}), params=[], lr=0.1)
    first, second = str(caught.value).splitlines()
    assert first.startswith("optimizer.momentm: not an option of sgd (lr, momentum,")
    assert first.endswith("did you mean optimizer.momentum?")
    assert second.startswith("optimizer.foo: not an option of sgd")
    assert "params" not in first


def test_what_the_run_itself_gives_cannot_be_set() -> None:
    with pytest.raises(ConfigError, match=r"model.num_outputs: is given by the run itself"):
        bound(component("hpo_cli.components.models.mlp.MLP", num_outputs=3), resolve_mlp(), {"num_outputs": 10})


def resolve_mlp() -> Any:
    return resolve(component("hpo_cli.components.models.mlp.MLP"))


def test_injected_values_reach_only_those_who_ask() -> None:
    assert bound(component("x", in_features=3), nn.Linear, {"out_features": 2, "other": 1}) == {
        "in_features": 3,
        "out_features": 2,
    }


def test_a_signature_that_takes_anything_takes_any_key() -> None:
    def free(**keys: object) -> dict[str, object]:
        return keys

    assert bound(component("x", a=1), free, {"b": 2}) == {"a": 1}


@pytest.mark.parametrize(
    ("target", "args"),
    [
        ("torch.optim.SGD", {"momentum": -1.0}), ("torch.optim.SGD", {"nesterov": True}),
        ("torch.optim.Adam", {"betas": "x"}), ("torch.nn.CrossEntropyLoss", {"weight": 3}),
    ],
)  # fmt: skip
def test_what_a_target_refuses_is_one_line(target: str, args: dict[str, Any]) -> None:
    group = "loss" if target.endswith("Loss") else "optimizer"
    with pytest.raises(UserError) as caught:
        build(Component(group, "own", target, args), params=[torch.zeros(1)], lr=0.1)
    assert str(caught.value).startswith(f"{group}=own: cannot be built: ")
    assert "\n" not in str(caught.value)


def test_a_config_error_of_a_target_passes_unchanged() -> None:
    with pytest.raises(ConfigError, match=r"^model.kernel_size=4: must be odd"):
        build(component("hpo_cli.components.models.cnn.CNN", kernel_size=4), input_shape=(1, 8, 8), num_outputs=2)


def test_a_callable_without_a_signature_is_refused() -> None:
    with pytest.raises(ConfigError, match="says nothing about its arguments"):
        bound(component("x"), type, {})
