"""The same steps as optax, side by side, for whatever both have in one form."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from tests.components.optimizers.options import path

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.slow

START = np.random.default_rng(0).normal(size=(4, 3))
GRADIENTS = np.random.default_rng(1).normal(size=(40, 4, 3))


def optax_path(make: Callable[[Any], Any]) -> Any:
    """Where optax is after each gradient, in double precision."""
    jax = pytest.importorskip("jax")
    optax = pytest.importorskip("optax")
    jax.config.update("jax_enable_x64", True)
    optimizer = make(optax)
    weight = jax.numpy.asarray(START)
    state, places = optimizer.init(weight), []
    for gradient in GRADIENTS:
        updates, state = optimizer.update(jax.numpy.asarray(gradient), state, weight)
        weight = optax.apply_updates(weight, updates)
        places.append(np.asarray(weight))
    return np.stack(places)


CASES: list[tuple[str, dict[str, Any], Callable[[Any], Any]]] = [
    ("sgd", {"lr": 0.1}, lambda o: o.sgd(0.1)),
    ("momentum", {"lr": 0.1}, lambda o: o.sgd(0.1, momentum=0.9)),
    ("nesterov", {"lr": 0.1}, lambda o: o.sgd(0.1, momentum=0.9, nesterov=True)),
    ("adadelta", {"lr": 0.5}, lambda o: o.adadelta(0.5, rho=0.95, eps=1e-6)),
    ("rmsprop", {"lr": 0.1, "alpha": 0.9}, lambda o: o.rmsprop(0.1, decay=0.9, eps=1e-8, eps_in_sqrt=False)),
    ("adam", {"lr": 0.1}, lambda o: o.adam(0.1)),
    ("adamw", {"lr": 0.1, "weight_decay": 0.1}, lambda o: o.adamw(0.1, weight_decay=0.1)),
    ("adamax", {"lr": 0.1}, lambda o: o.adamax(0.1)),
    ("radam", {"lr": 0.1}, lambda o: o.radam(0.1)),
    ("lion", {"lr": 0.01, "weight_decay": 0.1}, lambda o: o.lion(0.01, weight_decay=0.1)),
    ("lamb", {"lr": 0.1, "weight_decay": 0.1}, lambda o: o.lamb(0.1, weight_decay=0.1)),
    ("lars", {"lr": 0.5, "weight_decay": 0.0}, lambda o: o.lars(0.5, weight_decay=0.0, trust_coefficient=0.001)),
    ("schedule_free", {"lr": 0.1, "betas": [0.9, 0.99]},
     lambda o: o.contrib.schedule_free_adamw(0.1, b1=0.9, b2=0.99)),
]  # fmt: skip


@pytest.mark.parametrize(("name", "changes", "make"), CASES, ids=[case[0] for case in CASES])
def test_walks_as_optax_does(name: str, changes: dict[str, Any], make: Callable[[Any], Any]) -> None:
    found = path(name, START.tolist(), GRADIENTS, **changes)
    np.testing.assert_allclose(found.numpy(), optax_path(make), rtol=1e-5, atol=1e-7)


def test_another_rate_is_another_walk() -> None:
    found = path("adam", START.tolist(), GRADIENTS, lr=0.11)
    assert not np.allclose(found.numpy(), optax_path(lambda o: o.adam(0.1)), rtol=1e-3)
