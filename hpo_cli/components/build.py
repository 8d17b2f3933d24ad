"""Builds a component from its option: finds the allowed target, binds the keys to its signature, calls it."""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from hpo_cli.errors import ConfigError, Problem, UserError, did_you_mean
from hpo_cli.plan import Component

_OURS = "hpo_cli.components."
ALLOWED: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "data": tuple(
            f"{_OURS}data.{module}." for module in ("bundled", "cifar", "idx", "images", "mnist1d", "tables", "text")
        ),
        "model": (f"{_OURS}models.", "torch.nn."),
        "init": (f"{_OURS}init.",),
        "optimizer": ("torch.optim.", f"{_OURS}optimizers."),
        "schedule": (f"{_OURS}schedules.",),
        "loss": (f"{_OURS}losses.", "torch.nn."),
        "augment": (f"{_OURS}augment.",),
        "logger": ("pytorch_lightning.loggers.",),
    }
)
"""Group -> what its `_target_` may begin with without `allow_targets`: a stranger's config cannot run other code."""


def build(component: Component, *, allow: Sequence[str] = (), **injected: Any) -> Any:
    """Call the component's target with its keys and those of `injected` that its signature names.

    allow: further module prefixes. Raises ConfigError for a target that is not allowed or does not exist, for keys
    that the signature does not have, and for whatever the target itself raises.
    """
    target = resolve(component, allow=allow)
    arguments = bound(component, target, injected)
    try:
        return target(**arguments)
    except UserError:
        raise
    except Exception as error:
        raise ConfigError(component.group, component.option, rule=f"cannot be built: {_line(error)}") from error


def resolve(component: Component, *, allow: Sequence[str] = ()) -> Callable[..., Any]:
    """The callable that `component.target` names. Raises ConfigError when it is not allowed or not there."""
    key, target = f"{component.group}._target_", component.target or ""
    allowed = (*ALLOWED.get(component.group, ()), *allow)
    private = any(part.startswith("_") for part in target.split("."))
    if private or not _is_allowed(target, allowed):
        raise ConfigError(key, target, rule="is outside the allowed modules", fix=_trust(target))
    module_name, _, attribute = target.rpartition(".")
    if allow and str(Path.cwd()) not in sys.path:
        sys.path.append(str(Path.cwd()))  # a package of the user's may lie where the command runs
    try:
        module = importlib.import_module(module_name)
    except Exception as error:
        rule = f"cannot be imported ({_line(error)})"
        raise ConfigError(key, target, rule=rule, fix="install it, or run where its folder lies") from error
    found = getattr(module, attribute, None)
    if not callable(found):
        names = [name for name in vars(module) if not name.startswith("_")]
        raise ConfigError(key, target, rule=f"{module_name} has no {attribute}", fix=did_you_mean(attribute, names))
    home = str(getattr(found, "__module__", None))
    if not _is_allowed(f"{home}.", allowed):  # a name that an allowed module merely imports
        raise ConfigError(key, target, rule=f"comes from {home}, outside the allowed modules", fix=_trust(home))
    return found  # type: ignore[no-any-return]


def bound(component: Component, target: Callable[..., Any], injected: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of the call: the option's keys, and what the target's signature asks for of `injected`."""
    parameters = _parameters(component, target)
    takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    unknown = [] if takes_any else [key for key in component.args if key not in parameters]
    if unknown:
        own = [name for name in parameters if name not in ("params", "self")]
        raise ConfigError.of(_unknown(component, key, own) for key in unknown)
    if taken := [key for key in component.args if key in injected]:
        rule = "is given by the run itself"
        raise ConfigError.of(Problem(f"{component.group}.{key}", rule, "leave it out") for key in taken)
    return {**{key: value for key, value in injected.items() if key in parameters}, **component.args}


def _unknown(component: Component, key: str, own: list[str]) -> Problem:
    near = did_you_mean(key, own).replace("did you mean ", f"did you mean {component.group}.")
    return Problem(f"{component.group}.{key}", f"not an option of {component.option} ({', '.join(own)})", near)


def _parameters(component: Component, target: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    try:
        return inspect.signature(target).parameters
    except (TypeError, ValueError) as error:
        rule = "says nothing about its arguments, so that keys cannot be checked"
        raise ConfigError(f"{component.group}._target_", component.target, rule=rule, fix="wrap it") from error


def _line(error: Exception) -> str:
    """The first line of an error, with its type where the text alone says little."""
    text = str(error).strip()
    line = text.splitlines()[0] if text else ""
    return (
        line if line and isinstance(error, (TypeError, ValueError, ImportError)) else f"{type(error).__name__} {line}"
    )


def _is_allowed(dotted: str, allowed: Sequence[str]) -> bool:
    return any(dotted.startswith(_with_dot(prefix)) for prefix in allowed)


def _trust(dotted: str) -> str:
    return f"allow_targets=[{dotted.split('.', maxsplit=1)[0]}] if you trust it"


def _with_dot(prefix: str) -> str:
    return prefix if prefix.endswith(".") else f"{prefix}."
