"""A csv or parquet file as a DataFrame with unique column names and at least one row."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import TYPE_CHECKING

from hpo_cli.errors import ConfigError, did_you_mean

if TYPE_CHECKING:
    import pandas as pd

PARQUET_SUFFIXES = (".parquet", ".pq")
SEPARATORS = {"comma": ",", "semicolon": ";", "tab": "\t", "blank": " "}
"""Words for separators that a shell or the override grammar would take for something else."""


def read_table(path: str, *, separator: str) -> pd.DataFrame:
    """Read a file whose name ends in .parquet or .pq as parquet and any other as csv; columns are strings.

    separator: between the fields of a csv file: one character, or a word of SEPARATORS.
    Raises ConfigError for a file that is missing, empty, damaged or without rows, for column names that come
    twice, and where pandas or pyarrow is not installed.
    """
    file = Path(path).expanduser()
    if not file.is_file():
        raise _missing_file(path, file)
    try:
        frame = _parquet(file) if file.suffix in PARQUET_SUFFIXES else _csv(file, path, separator)
    except ImportError:
        rule = (
            "needs the packages pandas and pyarrow" if file.suffix in PARQUET_SUFFIXES else "needs the package pandas"
        )
        raise ConfigError("data.path", path, rule=rule, fix="pip install 'hpo-run[tables]'") from None
    except UnicodeDecodeError:
        raise ConfigError("data.path", path, rule="is not text in UTF-8", fix="save it as UTF-8") from None
    except (ValueError, EOFError, OSError, zlib.error) as error:
        reason = " ".join(str(error).split())
        raise ConfigError("data.path", path, rule=f"cannot be read: {reason}", fix="check the file") from None
    frame.columns = [str(name) for name in frame.columns]
    _check_names(list(frame.columns), path)
    if frame.empty:
        raise ConfigError("data.path", path, rule="has a header but no rows", fix="check how it was written")
    return frame


def _csv(file: Path, path: str, separator: str) -> pd.DataFrame:
    import pandas as pd

    separator = SEPARATORS.get(separator, separator)
    if len(separator) != 1:
        rule = "must be one character, or the word tab"
        raise ConfigError(
            "data.separator", separator, rule=rule, fix=f"one of {', '.join(SEPARATORS)}, or one character"
        )
    try:
        header = pd.read_csv(
            file,
            header=None,
            nrows=1,
            dtype=str,
            keep_default_na=False,
            sep=separator,
            skipinitialspace=True,
            encoding="utf-8-sig",
        )
    except pd.errors.EmptyDataError:
        raise ConfigError("data.path", path, rule="is empty", fix="check how it was written") from None
    _check_names([str(name) for name in header.iloc[0]], path)  # pandas would rename a second `a` to `a.1`
    frame = pd.read_csv(file, sep=separator, skipinitialspace=True, encoding="utf-8-sig", low_memory=False)
    if not isinstance(frame.index, pd.RangeIndex):  # pandas' silent reading of rows longer than the header
        raise ConfigError(
            "data.path",
            path,
            rule="has rows with more fields than its header names",
            fix="complete the header",
        )
    return frame


def _parquet(file: Path) -> pd.DataFrame:
    import pandas as pd

    return pd.read_parquet(file, engine="pyarrow").reset_index(drop=True)


def _check_names(names: list[str], path: str) -> None:
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        listed = ", ".join(repr(name) for name in repeated)
        raise ConfigError("data.path", path, rule=f"names columns twice: {listed}", fix="rename them in the file")


def _missing_file(path: str, file: Path) -> ConfigError:
    folder = file if file.is_dir() else file.parent
    rule = "is a folder, not a file" if file.is_dir() else "there is no such file"
    if not folder.is_dir():
        return ConfigError("data.path", path, rule=rule, fix=f"the folder {folder} does not exist either")
    names = sorted(entry.name for entry in folder.iterdir() if entry.is_file())
    hint = did_you_mean(file.name, names)
    return ConfigError("data.path", path, rule=rule, fix=hint or f"files there: {', '.join(names[:5]) or 'none'}")
