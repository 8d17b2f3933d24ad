"""What the conformance tests share: every shipped option of a group, its arguments as a run would pass them."""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING, Any

from hpo_cli.components.build import bound, build, resolve
from hpo_cli.options import Option, list_options
from hpo_cli.plan import Component

if TYPE_CHECKING:
    from collections.abc import Callable

NO_ARGUMENTS = ("_target_", "head", "decay")
GROUPS = ("optimizer", "schedule", "model", "loss", "init", "augment")


def collect(*groups: str) -> list[Option]:
    """The options of these groups, in the order of their names."""
    return [option for group in groups for option in list_options(group).values()]


def collect_built(*groups: str) -> list[Option]:
    """As `collect`, without those that build nothing."""
    return [option for option in collect(*groups) if option.defaults["_target_"] is not None]


def name_of(option: Option) -> str:
    """`optimizer/adam`."""
    return f"{option.group}/{option.name}"


def component_of(option: Option, **changes: Any) -> Component:
    """The option with its defaults and `changes`, interpolations such as `${regularization.dropout}` resolved."""
    args = {key: _resolved(value) for key, value in option.defaults.items() if key not in NO_ARGUMENTS}
    return Component(option.group, option.name, option.defaults["_target_"], {**args, **changes})


def make(option: Option, **injected: Any) -> Any:
    """Call the option's target, as a run does for models, losses and optimizers."""
    return build(component_of(option), **injected)


def function_of(option: Option) -> Callable[..., Any]:
    """The option's target with its keys bound, as a run does for schedules and initialisations."""
    component = component_of(option)
    target = resolve(component)
    return functools.partial(target, **bound(component, target, {}))


def _resolved(value: Any) -> Any:
    if not isinstance(value, str) or not value.startswith("${"):
        return value
    group, key = re.fullmatch(r"\$\{(\w+)\.(\w+)\}", value).groups()  # type: ignore[union-attr]
    return list_options(group)["default"].defaults[key]
