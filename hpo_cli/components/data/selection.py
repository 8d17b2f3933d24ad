"""A data set without some of its classes."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from hpo_cli.components.data.parts import class_names
from hpo_cli.errors import ConfigError, Problem, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hpo_cli.components.data.arrays import Features, RawData, Targets, Task

NUM_NAMED = 8


def keep_classes(raw: RawData, classes: Sequence[object], *, task: Task) -> RawData:
    """The samples of the named classes, a published test split's too; labels are renumbered in the old order.

    classes: names, which may be written as numbers. Raises ConfigError for unknown and repeated names, for fewer than
    two, and for data that has no classes.
    """
    wanted = [str(name) for name in classes]
    known = class_names(raw) if task == "classification" else ()
    _check(wanted, known=known, task=task)
    kept = [label for label, name in enumerate(known) if name in wanted]
    new_label = np.full(len(known), -1, dtype=np.int64)
    new_label[kept] = np.arange(len(kept))

    def chosen(x: Features, y: Targets) -> tuple[Features, Targets]:
        labels = new_label[y.astype(np.int64)]
        return x[labels >= 0], labels[labels >= 0]

    x, y = chosen(raw.x, raw.y)
    names = tuple(known[label] for label in kept)
    return replace(raw, x=x, y=y, class_names=names, test=chosen(*raw.test) if raw.test else None)


def _check(wanted: list[str], *, known: Sequence[str], task: Task) -> None:
    if task != "classification":
        rule = f"this data has none to choose from (data.task={task})"
        raise ConfigError("data.classes", wanted, rule=rule, fix="leave it out")
    problems = [
        Problem("data.classes", "no such class", did_you_mean(name, known) or f"the data has {_listed(known)}", name)
        for name in wanted
        if name not in known
    ]
    problems += [
        Problem("data.classes", "is named twice", "name it once", name)
        for name in dict.fromkeys(wanted)
        if wanted.count(name) > 1
    ]
    if not problems and len(wanted) < 2:  # noqa: PLR2004 - there is nothing to tell apart
        problems.append(Problem("data.classes", "needs two classes or more", f"the data has {_listed(known)}", wanted))
    if problems:
        raise ConfigError.of(problems)


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:NUM_NAMED])
    return f"{shown} and {len(names) - NUM_NAMED} more" if len(names) > NUM_NAMED else shown
