"""What may change while a run trains: the keys of hot knobs, what each means, and which keys name one quantity."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

HOT: Mapping[str, str] = MappingProxyType(
    {
        "lr": "learning rate, before the schedule's factor",
        "batch_size": "samples in a batch, from the next batch on",
        "epochs": "length of training; the schedule is stretched with it",
        "trainer.max_steps": "stop after this many updates",
        "batch.accumulate": "batches that make one update",
        "schedule": "the whole schedule: schedule=cosine schedule.floor=0.1",
        "schedule.warmup_steps": "steps of linear warm-up",
        "optimizer.decay": "time-based fall of the rate of sgd",
        "optimizer.momentum": "momentum",
        "optimizer.betas": "memories of the moments of adam and its kin",
        "optimizer.alpha": "memory of the mean square of rmsprop",
        "optimizer.eps": "what keeps a division by small moments finite",
        "regularization.weight_decay": "weight decay, coupled or not as the optimizer has it",
        "regularization.dropout": "rate of the network's dropout layers",
        "regularization.stochastic_depth": "rate at which the last residual branch is left out",
        "regularization.label_smoothing": "share of a target that is spread over all classes",
        "regularization.mixup": "alpha of mixup",
        "regularization.cutmix": "alpha of cutmix",
        "regularization.ema": "memory of the average of the weights; null: none",
        "regularization.l1": "weight of the sum of absolute weights in the loss",
        "regularization.l2": "weight of the sum of squared weights in the loss",
        "regularization.clip_norm": "global norm that gradients are scaled down to",
        "regularization.clip_value": "limit of each gradient",
        "regularization.early_stopping": "epochs without a better objective that are borne",
        "loss.gamma": "focus of the focal loss on hard samples",
        "loss.alpha": "weight of the positive class in the focal loss",
        "loss.delta": "where the Huber loss turns from squared to absolute",
        "loss.weight": "weight of the center loss",
        "loss.center_lr": "rate at which centers follow their class",
        "augment.strength": "factor of all sizes and, below 1, of all probabilities",
        "augment.flip": "probability of a mirror image",
        "augment.crop": "largest shift, as a share of the side",
        "augment.rotate": "largest turn in degrees",
        "augment.zoom": "range of sizes",
        "augment.brightness": "range of brightness",
        "augment.contrast": "range of contrast",
        "augment.saturation": "range of saturation",
        "augment.hue": "range of hue, as a share of the circle",
        "augment.blur": "probability of a blur",
        "augment.erasing": "probability that a box is erased",
    }
)
"""Config key -> what it means. Beside these: `loss.terms.NAME.weight`, and the keys of the schedule that runs."""

TWINS: Mapping[str, str] = MappingProxyType(
    {
        "lr": "optimizer.lr",
        "regularization.weight_decay": "optimizer.weight_decay",
        "model.dropout": "regularization.dropout",
        "model.stochastic_depth": "regularization.stochastic_depth",
        "loss.label_smoothing": "regularization.label_smoothing",
    }
)
"""Keys that name one quantity: the first is an interpolation of the second until someone gives it a value."""

WHOLE = frozenset(
    {
        "batch_size", "epochs", "trainer.max_steps", "batch.accumulate", "schedule.warmup_steps",
        "regularization.early_stopping",
    }
)  # fmt: skip
"""Knobs that count something."""

BESIDE_THE_SCHEDULE = ("warmup_steps", "nudges")
"""Keys of the section `schedule` that hold for every schedule and stay when it is replaced."""

_CANONICAL = {other: key for pair in TWINS.items() for key, other in (pair, pair[::-1]) if key in HOT}
_TERM, _WEIGHT = "loss.terms.", ".weight"


def canonical(key: str) -> str:
    """The name of the knob that `key` names: `optimizer.lr` is `lr`; a key with one name is itself."""
    return _CANONICAL.get(key, key)


def twins_of(key: str) -> tuple[str, ...]:
    """All keys that hold the quantity `key`, itself first."""
    return (key, *(other for other, knob in _CANONICAL.items() if knob == key))


def is_hot(key: str) -> bool:
    """Whether a key can be nudged in some run, under any of its names."""
    return canonical(key) in HOT or term_of(key) is not None or schedule_key(key) is not None


def knob_of(key: str) -> str:
    """The knob under which a change of `key` is recorded: a key of the schedule belongs to `schedule`."""
    return "schedule" if schedule_key(key) is not None else canonical(key)


def term_of(key: str) -> str | None:
    """NAME of `loss.terms.NAME.weight`, None for any other key."""
    name = key.removeprefix(_TERM).removesuffix(_WEIGHT)
    return name if name and key == f"{_TERM}{name}{_WEIGHT}" else None


def schedule_key(key: str) -> str | None:
    """KEY of `schedule.KEY`, where that is a key of the schedule that runs and not of all; None for any other key."""
    group, _, name = key.partition(".")
    is_own = group == "schedule" and name and "." not in name and not name.startswith("_")
    return name if is_own and name not in BESIDE_THE_SCHEDULE else None
