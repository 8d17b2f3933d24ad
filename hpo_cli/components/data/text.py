"""Text as windows of characters, each with the character that follows it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from hpo_cli.components.data.arrays import RawData
from hpo_cli.errors import ConfigError

_PARTS = 3  # training, validation, test: a window each at least


def text(*, path: str | None = None, window: int = 64, lower: bool = False) -> RawData:
    """Windows of a text in order: x int64 [n, window] characters, y int64 [n, window] the next ones.

    path: a file in UTF-8; None: the help topics that come with Python (another text in another Python), sorted
    by name.   lower: turn capitals into small letters.
    Windows do not overlap; what is left at the end, less than a window, is dropped. `class_names` is the vocabulary:
    the sorted characters of the whole text, so that validation and test hold none without a name.
    Raises ConfigError for a file that is missing or no text, and for a text too short for three windows.
    """
    content = _help_topics() if path is None else _read(path)
    content = content.lower() if lower else content
    num_windows = max(0, len(content) - 1) // window
    if num_windows < _PARTS:
        _refuse_short(len(content), window=window)
    vocabulary, tokens = np.unique(_code_points(content), return_inverse=True)
    if len(vocabulary) == 1:
        raise ConfigError("data.path", path, rule="the text is one character, repeated", fix="name another file")
    names = tuple(map(chr, vocabulary.tolist()))
    ids = tokens.astype(np.int64, copy=False)
    used = num_windows * window
    x, y = (ids[start : start + used].reshape(num_windows, window) for start in (0, 1))
    return RawData(x, y, class_names=names, ordered=True)


def _refuse_short(num_characters: int, *, window: int) -> None:
    longest = (num_characters - 1) // _PARTS
    rule = f"the text has {num_characters} characters, too few for {_PARTS} windows and one character more"
    fix = f"set at most data.window={longest}" if longest > 0 else "name a longer text with data.path"
    raise ConfigError("data.window", window, rule=rule, fix=fix)


def _help_topics() -> str:
    try:
        from pydoc_data.topics import topics
    except ImportError:
        rule = "this Python comes without its help topics"
        raise ConfigError("data.path", None, rule=rule, fix="name a text file") from None
    return "\n".join(topics[name] for name in sorted(topics))


def _read(path: str) -> str:
    try:
        return Path(path).expanduser().read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        rule = f"is not text in UTF-8 (byte {error.start})"
        raise ConfigError("data.path", path, rule=rule, fix="convert it: iconv -f ... -t utf-8") from None
    except OSError as error:
        rule = f"cannot be read: {error.strerror}"
        raise ConfigError("data.path", path, rule=rule, fix="name a text file") from None


def _code_points(content: str) -> np.ndarray[tuple[int], np.dtype[np.uint32]]:
    return np.frombuffer(content.encode("utf-32-le"), dtype="<u4")
