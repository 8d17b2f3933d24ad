"""Initialisation of a model's weights, in place, drawn from torch's global generator.

Plain initialisations draw each layer by its shape alone (`draws`), data-driven ones pass training samples through the
model (`scaling`, `pretraining`). All of them take the keys of `kinds.Kinds`, which give a kind of layer another draw.
"""

from hpo_cli.components.init.draws import (
    DRAWS,
    default,
    he_normal,
    he_uniform,
    lecun_normal,
    normal,
    orthogonal,
    scaled,
    truncated_normal,
    uniform,
    xavier_normal,
    xavier_uniform,
)
from hpo_cli.components.init.kinds import Kinds
from hpo_cli.components.init.pretraining import autoencoder
from hpo_cli.components.init.scaling import lsuv

__all__ = [
    "DRAWS",
    "Kinds",
    "autoencoder",
    "default",
    "he_normal",
    "he_uniform",
    "lecun_normal",
    "lsuv",
    "normal",
    "orthogonal",
    "scaled",
    "truncated_normal",
    "uniform",
    "xavier_normal",
    "xavier_uniform",
]
