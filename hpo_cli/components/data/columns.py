"""Columns of a DataFrame as arrays: features and regression targets as numbers, a class column as labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from hpo_cli.components.data.arrays import TargetColumn
from hpo_cli.errors import ConfigError, Problem

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from numpy.typing import NDArray

NUM_NAMED = 5
"""How many columns an error names before it says `and 7 more`."""


@dataclass(frozen=True)
class Classes:
    """A class column: labels int64 [n], 0 .. k-1, and the k names in that order."""

    labels: NDArray[np.int64]
    names: tuple[str, ...]


def feature_columns(frame: pd.DataFrame, *, dropped: list[str]) -> NDArray[np.float32]:
    """All columns as float32 [n, features].

    Raises ConfigError, naming every offending column, for text and for NaN or infinite values.
    dropped: columns left out already, for the `data.drop=[...]` that the error offers.
    """
    text = [name for name in frame.columns if _is_text(frame[name])]
    problems = [_text_value(frame[name]) for name in frame.columns if name not in text and _has_bad_value(frame[name])]
    if text:
        away = "leave them out with " + _drop_option([*dropped, *text])
        problems.append(
            Problem("data.drop", f"{_plural(text)} no numbers, and features must be numbers", away, dropped)
        )
    if problems:
        raise ConfigError.of(problems)
    values = _float32(frame)
    count = (~np.isfinite(values)).sum(axis=0)
    bad = {name: int(n) for name, n in zip(frame.columns, count, strict=True) if n}
    if bad:
        listed = _shortened([f"{name!r} ({n})" for name, n in bad.items()])
        fix = f"fill them in, remove those rows, or {_drop_option([*dropped, *bad])}"
        raise ConfigError("data.path", rule=f"empty, NaN or infinite values in column {listed}", fix=fix)
    return values


def number_columns(frame: pd.DataFrame) -> NDArray[np.float32]:
    """Regression targets as float32 [n, k]. Raises ConfigError for text, missing values and constants."""
    for name in frame.columns:
        if _is_text(frame[name]) or _has_bad_value(frame[name]):
            rule = f"{_first_bad(frame[name])}, and regression needs numbers"
            raise ConfigError("data.target", name, rule=rule, fix="set data.task=classification or mend the file")
    values = _float32(frame)
    for name, column in zip(frame.columns, values.T, strict=True):
        if count := int((~np.isfinite(column)).sum()):
            rule = f"has {count} empty, NaN or infinite values"
            raise ConfigError("data.target", name, rule=rule, fix="remove those rows")
        if column.min() == column.max():
            raise _constant(str(name), column[0])
    return values


def class_column(column: pd.Series) -> Classes:
    """Labels and sorted names of a column of text or whole numbers.

    Raises ConfigError for missing values, numbers with a fraction (a regression target) and a single class.
    """
    import pandas as pd

    name = str(column.name)
    if count := int(column.isna().sum()):
        raise ConfigError("data.target", name, rule=f"has {count} empty or NA values", fix="remove those rows")
    numeric = pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)
    values = _whole_numbers(column) if numeric else column.astype(str).to_numpy(dtype=object)
    found, labels = np.unique(values, return_inverse=True)
    if len(found) == 1:
        raise _constant(name, found[0])
    return Classes(labels.astype(np.int64), tuple(str(value) for value in found))


@dataclass(frozen=True)
class Targets:
    """Several target columns side by side: values float32 [n, k], an index where the column is of classes."""

    values: NDArray[np.float32]
    columns: tuple[TargetColumn, ...]


def target_columns(frame: pd.DataFrame, *, class_targets: Sequence[str]) -> Targets:
    """Each column as what it holds: text and true or false are classes, numbers are numbers unless named as classes.

    class_targets: numeric columns that hold classes. Raises ConfigError as `class_column` and `number_columns` do.
    """
    found = [_target(frame[[name]], is_class=name in class_targets) for name in frame.columns]
    return Targets(np.column_stack([one.values for one in found]), tuple(one.columns[0] for one in found))


def _target(frame: pd.DataFrame, *, is_class: bool) -> Targets:
    import pandas as pd

    name = str(frame.columns[0])
    column = frame[name]
    if is_class or _is_text(column) or pd.api.types.is_bool_dtype(column):
        classes = class_column(column)
        return Targets(classes.labels.astype(np.float32)[:, None], (TargetColumn(name, classes.names),))
    return Targets(number_columns(frame), (TargetColumn(name),))


def _whole_numbers(column: pd.Series) -> NDArray[np.int64]:
    values = column.to_numpy(dtype=np.float64)
    if not np.isfinite(values).all() or (values != np.floor(values)).any():
        rule = f"is no class column: it has {len(np.unique(values))} different values, some not whole numbers"
        raise ConfigError("data.target", column.name, rule=rule, fix="set data.task=regression loss=mse")
    return values.astype(np.int64)


def _constant(name: str, value: object) -> ConfigError:
    return ConfigError(
        "data.target",
        name,
        rule=f"has one value only, {str(value)!r}: nothing to learn",
        fix="choose another column",
    )


def _float32(frame: pd.DataFrame) -> NDArray[np.float32]:
    import pandas as pd

    numbers = frame.apply(pd.to_numeric)
    with np.errstate(over="ignore"):  # beyond float32 becomes infinite, which is then refused
        values: NDArray[np.float32] = numbers.to_numpy(dtype=np.float64, na_value=np.nan).astype(np.float32)
    return values


def _is_text(column: pd.Series) -> bool:
    """Most of its values are no numbers (or it holds dates or categories)."""
    import pandas as pd

    if pd.api.types.is_numeric_dtype(column):
        return False
    if not (pd.api.types.is_object_dtype(column) or pd.api.types.is_string_dtype(column)):
        return True
    return 2 * int(_bad_values(column).sum()) > int(column.notna().sum())


def _has_bad_value(column: pd.Series) -> bool:
    return bool(_bad_values(column).any())


def _bad_values(column: pd.Series) -> pd.Series:
    """Mark every value that is there but is no number."""
    import pandas as pd

    if pd.api.types.is_numeric_dtype(column):
        return pd.Series(data=False, index=column.index)
    return pd.to_numeric(column, errors="coerce").isna() & column.notna()


def _text_value(column: pd.Series) -> Problem:
    fix = "mend it, or leave the column out with data.drop"
    return Problem("data.path", f"column {str(column.name)!r} {_first_bad(column)} among its numbers", fix)


def _first_bad(column: pd.Series) -> str:
    bad = _bad_values(column)
    row = int(np.argmax(bad.to_numpy())) if bad.any() else 0
    return f"has {str(column.iloc[row])!r} in row {row + 1}"


def _plural(names: list[str]) -> str:
    listed = _shortened([repr(name) for name in names])
    return f"column {listed} holds" if len(names) == 1 else f"columns {listed} hold"


def _shortened(words: list[str]) -> str:
    shown = ", ".join(words[:NUM_NAMED])
    return f"{shown} and {len(words) - NUM_NAMED} more" if len(words) > NUM_NAMED else shown


def _drop_option(names: list[str]) -> str:
    """`data.drop=[a,b]` as it can be typed in a shell."""
    if all(name.isidentifier() for name in names):
        return f"data.drop=[{','.join(names)}]"
    quoted = ",".join(f'"{name}"' for name in names)
    return f"'data.drop=[{quoted}]'"
