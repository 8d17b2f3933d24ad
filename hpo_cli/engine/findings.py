"""What predictions show about one target: per-class figures and confusions, or residuals; and the worst mistakes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_SHOWN_POINTS = 500
"""At most so many (true, predicted) pairs are kept for drawing."""


@dataclass(frozen=True)
class ClassScore:
    """How one class fared. NaN where it is 0 / 0.

    recall: share of its samples that were found, which is its accuracy.   precision: share of the samples given to it
    that are its own.   f1: harmonic mean of the two.   support: its samples.
    """

    name: str
    recall: float
    precision: float
    f1: float
    support: int
    loss: float


@dataclass(frozen=True)
class Mistake:
    """A sample put into the wrong class. index: its place in the split.   position: that of the token in a window.

    probability: of the predicted class.   loss: -log p of the true class, in nats.
    """

    index: int
    true: str
    predicted: str
    probability: float
    loss: float
    position: int | None = None


@dataclass(frozen=True)
class ClassFindings:
    """A column of classes. confusion: samples by [true class][predicted class].   worst: highest loss first.

    losses: sum of -log p over the samples of each class, in nats.
    """

    name: str
    class_names: tuple[str, ...]
    confusion: Ints
    losses: Floats
    worst: tuple[Mistake, ...]

    @property
    def scores(self) -> tuple[ClassScore, ...]:
        """One a class, in the order of the names."""
        right, support, given = self.confusion.diagonal(), self.confusion.sum(1), self.confusion.sum(0)
        found = zip(
            self.class_names,
            _ratio(right, support),
            _ratio(right, given),
            _ratio(2 * right, support + given),
            support.tolist(),
            _ratio(self.losses, support),
            strict=True,
        )
        return tuple(ClassScore(*one) for one in found)

    def confusions(self, most: int) -> list[tuple[str, str, int]]:
        """(true, predicted, samples) of the most frequent mistakes."""
        off = self.confusion - np.diag(self.confusion.diagonal())
        order = np.argsort(-off, axis=None, kind="stable")[:most]
        places = (np.unravel_index(place, off.shape) for place in order)
        names = self.class_names
        return [(names[i], names[j], int(off[i, j])) for i, j in places if off[i, j]]

    def to_dict(self) -> dict[str, Any]:
        """Plain types for JSON."""
        return {
            "name": self.name,
            "class_names": list(self.class_names),
            "scores": [asdict(score) for score in self.scores],
            "confusion": self.confusion.tolist(),
            "worst": [asdict(mistake) for mistake in self.worst],
        }


@dataclass(frozen=True)
class Residual:
    """A sample and how far its prediction is off, in the data's units. residual: predicted - true."""

    index: int
    true: float
    predicted: float
    residual: float


@dataclass(frozen=True)
class NumberFindings:
    """A column of numbers, in the data's units.

    mae, rmse, bias (mean residual), deviation (of the residuals), quantiles (of the residuals, by percent), r2 (NaN for
    a column that does not vary).   worst: largest residuals first.   points: some (true, predicted) pairs.
    """

    name: str
    summary: dict[str, float]
    worst: tuple[Residual, ...]
    points: tuple[tuple[float, float], ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain types for JSON."""
        worst = [asdict(residual) for residual in self.worst]
        return {"name": self.name, "summary": self.summary, "worst": worst, "points": [list(p) for p in self.points]}


Findings = ClassFindings | NumberFindings


@dataclass(frozen=True)
class Guesses:
    """Predicted classes of samples, or of tokens: `per_sample` of them a sample. All 1-d and equally long.

    indices: of the samples in the split.   probability: of the predicted class.   loss: -log p of the true class.
    """

    indices: Ints
    true: Ints
    predicted: Ints
    probability: Floats
    loss: Floats
    per_sample: int = 1


def class_findings(name: str, class_names: Sequence[str], guesses: Guesses, *, worst: int) -> ClassFindings:
    """Count what was taken for what. worst: keep at most so many mistakes."""
    num_classes = len(class_names)
    pairs = np.bincount(guesses.true * num_classes + guesses.predicted, minlength=num_classes**2)
    wrong = np.flatnonzero(guesses.true != guesses.predicted)
    rows = wrong[np.argsort(-guesses.loss[wrong], kind="stable")][:worst]
    mistakes = (
        Mistake(
            index=int(guesses.indices[row]),
            true=class_names[guesses.true[row]],
            predicted=class_names[guesses.predicted[row]],
            probability=float(guesses.probability[row]),
            loss=float(guesses.loss[row]),
            position=int(row % guesses.per_sample) if guesses.per_sample > 1 else None,
        )
        for row in rows
    )
    confusion = pairs.reshape(num_classes, num_classes)
    losses = np.bincount(guesses.true, guesses.loss, minlength=num_classes).astype(np.float64)
    return ClassFindings(name, tuple(class_names), confusion, losses, tuple(mistakes))


def number_findings(name: str, true: Floats, predicted: Floats, *, worst: int) -> NumberFindings:
    """Residuals of one column, in the data's units. true, predicted: [n], in the order of the split."""
    residuals = predicted - true
    rows = np.argsort(-np.abs(residuals), kind="stable")[:worst]
    values = zip(rows.tolist(), true[rows].tolist(), predicted[rows].tolist(), residuals[rows].tolist(), strict=True)
    some = np.unique(np.linspace(0, len(true) - 1, min(len(true), _SHOWN_POINTS)).astype(int))
    points = zip(true[some].tolist(), predicted[some].tolist(), strict=True)
    return NumberFindings(name, _summary(true, residuals), tuple(Residual(*one) for one in values), tuple(points))


def _summary(true: Floats, residuals: Floats) -> dict[str, float]:
    quantiles = {f"{percent} %": float(np.percentile(residuals, percent)) for percent in (5, 25, 50, 75, 95)}
    variation = float(np.square(true - true.mean()).sum())
    return {
        "mae": float(np.abs(residuals).mean()),
        "rmse": float(np.sqrt(np.square(residuals).mean())),
        "r2": 1.0 - float(np.square(residuals).sum()) / variation if variation else float("nan"),
        "bias": float(residuals.mean()),
        "deviation": float(residuals.std()),
        **quantiles,
    }


def _ratio(part: Ints | Floats, whole: Ints) -> list[float]:
    with np.errstate(invalid="ignore"):
        shares: list[float] = (part / whole).tolist()
    return shares
