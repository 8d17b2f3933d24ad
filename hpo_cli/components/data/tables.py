"""A table of numbers from a csv or parquet file: some columns are features, one or more are targets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpo_cli.components.data.arrays import RawData, Task
from hpo_cli.components.data.columns import class_column, feature_columns, number_columns, target_columns
from hpo_cli.components.data.table_files import read_table
from hpo_cli.errors import ConfigError, Problem, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd


def table(
    *,
    path: str,
    target: str | Sequence[str],
    task: Task,
    drop: Sequence[str] = (),
    separator: str = ",",
    class_targets: Sequence[str] = (),
) -> RawData:
    """Features x float32 [n, features]: every column that is neither a target nor dropped, in file order.

    target: the column to predict; for regression also a list of them, for several a list of two or more. Class names
    are sorted, as numbers where they are numbers.   drop: columns to leave out.   separator: of a csv file, one
    character or `tab`.   class_targets: for several, the columns of numbers that are classes; text always is.
    Raises ConfigError for whatever keeps the file from being a table of finite numbers.
    """
    targets = [str(name) for name in ([target] if isinstance(target, str | int) else target)]
    dropped = [str(name) for name in drop]
    frame = read_table(path, separator=separator)
    _check_columns(frame, targets=targets, dropped=dropped)
    _check_task(task, targets=targets, class_targets=class_targets)
    features = frame.drop(columns=[*targets, *dropped])
    x, names = feature_columns(features, dropped=dropped), tuple(features.columns)
    if task == "several":
        found = target_columns(frame[targets], class_targets=class_targets)
        return RawData(x, found.values, columns=found.columns, feature_names=names)
    if task == "regression":
        return RawData(x, number_columns(frame[targets]), feature_names=names)
    classes = class_column(frame[targets[0]])
    return RawData(x, classes.labels, class_names=classes.names, feature_names=names)


def _check_task(task: Task, *, targets: list[str], class_targets: Sequence[str]) -> None:
    if task == "classification" and len(targets) != 1:
        rule = "classification has one target column"
        fix = "name one of them, or set data.task=several"
        raise ConfigError("data.target", targets, rule=rule, fix=fix)
    if task == "several" and len(targets) < 2:  # noqa: PLR2004 - that is what the word says
        fix = "name more, or set data.task=classification or regression"
        raise ConfigError("data.target", targets, rule="several needs two target columns or more", fix=fix)
    if class_targets and task != "several":
        fix = "leave it out, or set data.task=several"
        raise ConfigError(
            "data.class_targets", list(class_targets), rule=f"has no effect with data.task={task}", fix=fix
        )
    unknown = [str(name) for name in class_targets if str(name) not in targets]
    if unknown:
        rule = f"{_listed(unknown)} is no target column"
        fix = did_you_mean(unknown[0], targets) or f"data.target names {_listed(targets)}"
        raise ConfigError("data.class_targets", list(class_targets), rule=rule, fix=fix)


def _check_columns(frame: pd.DataFrame, *, targets: list[str], dropped: list[str]) -> None:
    known = list(frame.columns)
    wanted = [("data.target", name) for name in targets] + [("data.drop", name) for name in dropped]
    problems = [_unknown(key, name, known) for key, name in wanted if name not in known]
    problems += [
        Problem("data.drop", "is the target column too", "keep it out of data.drop", name)
        for name in dropped
        if name in targets
    ]
    if not targets:
        problems.append(Problem("data.target", "names no column", f"one of {_listed(known)}", targets))
    if not problems and not set(known) - {*targets, *dropped}:
        problems.append(Problem("data.drop", "leaves no feature column", "drop fewer columns", dropped))
    if problems:
        raise ConfigError.of(problems)


def _unknown(key: str, name: str, known: list[str]) -> Problem:
    separators = [mark for mark in (";", "\t", "|") if len(known) == 1 and mark in known[0]]
    if separators:
        mark = "tab" if separators[0] == "\t" else separators[0]
        return Problem(key, f"the file has one column, {known[0]!r}", f"set data.separator='{mark}'", name)
    return Problem(key, "no such column", did_you_mean(name, known) or f"the file has {_listed(known)}", name)


def _listed(names: list[str]) -> str:
    shown = ", ".join(repr(name) for name in names[:8])
    return f"{shown} and {len(names) - 8} more" if len(names) > 8 else shown  # noqa: PLR2004 shown above
