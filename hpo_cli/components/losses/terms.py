"""Sums of losses: how their terms are read from a config, built and held."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from hpo_cli import rules
from hpo_cli.components.build import build
from hpo_cli.errors import ConfigError, Problem, did_you_mean
from hpo_cli.options import Option, list_options
from hpo_cli.plan import Component, Head

KEY = "loss.terms"
SHARED = ("head", "label_smoothing")
"""Keys of a loss that a term does not take: the first is fixed, the second one holds for all terms."""
_CENTER = Component("loss", "center", "hpo_cli.components.losses.Center", {"center_lr": 0.5})
_WEIGHT: rules.Rule = {"type": "float", "min": 0}


@dataclass
class Term:
    """One loss of a sum. `weight` may change while training."""

    loss: nn.Module
    weight: float

    @property
    def needs_features(self) -> bool:
        """Whether the loss is called with the features as third argument."""
        return bool(getattr(self.loss, "needs_features", False))

    def value(self, outputs: Tensor, targets: Tensor, features: Tensor | None) -> Tensor:
        """`weight` times the loss."""
        arguments = (outputs, targets, features) if self.needs_features else (outputs, targets)
        return self.weight * self.loss(*arguments)  # type: ignore[no-any-return]


class TermSum(nn.Module):
    """What all sums of losses have: `terms` by name, their modules registered. Raises ConfigError without a weight."""

    def __init__(self, terms: Mapping[str, Term]) -> None:
        super().__init__()
        if not any(term.weight for term in terms.values()):
            raise ConfigError(KEY, rule="no loss has a weight above 0", fix="give one of them a weight")
        self.terms = dict(terms)
        self.losses = nn.ModuleList(term.loss for term in terms.values())

    @property
    def needs_features(self) -> bool:
        """Whether some term is called with the features."""
        return any(term.needs_features for term in self.terms.values())


class SmoothedSum(TermSum):
    """A sum whose classifying terms share one label smoothing, which may change while training."""

    def __init__(self, terms: Mapping[str, Term], *, label_smoothing: float) -> None:
        super().__init__(terms)
        self.label_smoothing = label_smoothing

    @property
    def label_smoothing(self) -> float:
        """The share of a target that is spread over all classes."""
        return self._label_smoothing

    @label_smoothing.setter
    def label_smoothing(self, value: float) -> None:
        self._label_smoothing = value
        losses: Iterable[Any] = self.losses
        for loss in losses:
            if hasattr(loss, "label_smoothing"):
                loss.label_smoothing = value


def make_term(name: str, given: object, *, head: Head, default: str | None, **injected: Any) -> Term:
    """The term that a config gives under `loss.terms.<name>`: a weight, or {loss: name, weight: 1.0, keys of the loss}.

    head: what its loss must be for.   default: the loss of a term that names none.
    injected: what the run gives to the loss.   Raises ConfigError, its keys as the user types them.
    """
    key = f"{KEY}.{name}"
    if isinstance(given, (int, float)):
        given = {"weight": given}
    if not isinstance(given, Mapping):
        rule = "must be a weight, or a mapping"
        raise ConfigError(key, given, rule=rule, fix=f"{key}={{loss:{default or 'mse'},weight:1.0}}")
    choices = simple_losses(head)
    loss = given.get("loss", default)
    if not isinstance(loss, str) or loss not in choices:
        rule = f"must be one of {', '.join(choices)}"
        raise ConfigError(f"{key}.loss", loss, rule=rule, fix=did_you_mean(str(loss), choices))
    weight, problems = rules.checked(f"{key}.weight", given.get("weight", 1.0), rule=_WEIGHT)
    own = {word: value for word, value in given.items() if word not in ("loss", "weight")}
    component, wrong = _with_keys(choices[loss], own, key=key)
    if problems or wrong:
        raise ConfigError.of([*problems, *wrong])
    try:
        return Term(build(component, **injected), weight)
    except ConfigError as error:
        moved = (Problem(p.key.replace("loss", key, 1), p.rule, p.fix, p.value) for p in error.problems)
        raise ConfigError.of(moved) from None


def simple_losses(head: Head) -> dict[str, Component]:
    """The losses that can be a term for this head, with the defaults of their option files."""
    found = {name: _component(option) for name, option in list_options("loss").items() if _is_simple(option, head)}
    return {**found, "center": _CENTER} if head == "classes" else found


def _is_simple(option: Option, head: Head) -> bool:
    return option.defaults["head"] == head and not {"terms", "weight"} & option.defaults.keys()


def _component(option: Option) -> Component:
    keys = {key: value for key, value in option.defaults.items() if key not in SHARED and not key.startswith("_")}
    return Component("loss", option.name, option.defaults["_target_"], keys)


def _with_keys(component: Component, own: Mapping[str, Any], *, key: str) -> tuple[Component, list[Problem]]:
    """The component with the user's keys, and what is wrong with them."""
    args, problems = dict(component.args), []
    for word, value in own.items():
        if word == "label_smoothing":
            problems.append(Problem(f"{key}.{word}", "is shared by all terms", f"set regularization.{word}"))
        elif word not in component.args:
            known = ["weight", *component.args]
            rule = f"not an option of {component.option} ({', '.join(known)})"
            problems.append(Problem(f"{key}.{word}", rule, did_you_mean(str(word), known)))
        else:
            rule = _rules_of(component.option).get(word, {})
            args[word], found = rules.checked(f"{key}.{word}", value, rule=rule, default=component.args[word])
            problems.extend(found)
    return Component(component.group, component.option, component.target, args), problems


def _rules_of(loss: str) -> Mapping[str, Any]:
    return list_options("loss")["cross_entropy_center" if loss == _CENTER.option else loss].rules


def unknown_terms(names: Iterable[object], *, known: Iterable[str], what: str) -> list[Problem]:
    """A problem for each of `names` that is not `known`."""
    listed = list(known)
    return [
        Problem(f"{KEY}.{name}", f"no such {what} ({', '.join(listed)})", did_you_mean(str(name), listed))
        for name in names
        if name not in listed
    ]
