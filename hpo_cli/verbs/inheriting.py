"""The words of a child: its parent's own, the nudges that it lived with, and what is asked for now; later ones win."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from hpo_cli.errors import UserError
from hpo_cli.options import GROUPS, list_options
from hpo_cli.record.contents import Values, text, words
from hpo_cli.steer.changes import Setting, has, hot_keys, revised, value_of
from hpo_cli.steer.hot import canonical, schedule_key, term_of
from hpo_cli.steer.words import split_word
from hpo_cli.verbs.composing import ComposeWords

OF_ONE_RUN = ("hydra.run.dir", "resume", "branch", "watch")
"""Keys that a child does not inherit."""

_PLAIN = re.compile(r"[A-Za-z_][\w./-]*")
_RELATIVE = re.compile(r"[\w.]+[*/+-]=")
_BEFORE_QUOTE = re.compile(r"(\\*)('|$)")
"""Backslashes mean something to Hydra only in front of a quote."""
_TAKEN = ("null", "true", "false", "nan", "inf", "none")


@dataclass(frozen=True)
class Inheritance:
    """words: those of the child; changes: what sets it apart from its parent; dropped: what does not fit any more."""

    words: ComposeWords
    changes: tuple[str, ...]
    dropped: tuple[str, ...] = ()


def own_words(started: Values) -> ComposeWords:
    """The words that a run was started with, by its ledger; folders as they are from here. Raises UserError."""
    flags = words(started.get("command"))
    config_dir = _after("--config-dir", flags)
    place = Path(text(started.get("cwd"))) / config_dir if config_dir else None
    if place is not None and not place.is_dir():
        raise UserError(f"--config-dir {place}: the run's own options are not there any more; restore the folder")
    overrides = [word for word in words(started.get("overrides")) if key_of(word) not in OF_ONE_RUN]
    return ComposeWords(
        tuple(_from_here(word, text(started.get("cwd"))) for word in overrides),
        place,
        _after("--config-name", flags) or "config",
    )


def trusting(own: ComposeWords, targets: Sequence[str]) -> ComposeWords:
    """The words with `targets` alone as `allow_targets`, whatever they and the files that they name say of it."""
    kept = [word for word in own.overrides if key_of(word) != "allow_targets"]
    is_ours = own.config_dir is None and own.config_name == "config"  # our own files name none
    named = [] if is_ours and not targets else [f"allow_targets={typed(list(targets))}"]
    return replace(own, overrides=(*named, *kept))


def _after(flag: str, flags: Sequence[str]) -> str:
    return next((value for name, value in pairwise(flags) if name == flag), "")


def _from_here(word: str, cwd: str) -> str:
    """The folder of all runs, which is relative to where the run was started."""
    key, _, value = word.partition("=")
    is_moved = key == "outputs" and cwd and Path(cwd) != Path.cwd() and "$" not in value
    return f"{key}={typed(str(Path(cwd) / value.strip(QUOTES)))}" if is_moved else word


QUOTES = "'\""


def inherit(own: ComposeWords, nudges: Iterable[str], overrides: Sequence[str]) -> Inheritance:
    """The child's words. nudges: what the parent's config had become, as words.   overrides: what is asked for."""
    merged: list[str] = []
    dropped: list[str] = []
    for word in (*own.overrides, *nudges, *overrides):
        merged, gone = _with(merged, word, config_dir=own.config_dir)
        dropped += gone
    found = ComposeWords(tuple(merged), own.config_dir, own.config_name)
    return Inheritance(found, tuple(overrides), tuple(dropped))


def _with(merged: list[str], word: str, *, config_dir: Path | None) -> tuple[list[str], list[str]]:
    """`merged` and `word`, without what `word` replaces; and what its group has no place for, in lines."""
    key, value = key_of(word), word.partition("=")[2]
    kept = [earlier for earlier in merged if canonical(key_of(earlier)) != canonical(key)]
    option = list_options(key, config_dir=config_dir).get(value) if key in GROUPS else None
    if option is None or option.choices:
        return [*kept, word], []
    unfit = [earlier for earlier in kept if _is_unfit(key_of(earlier), key, option.keys)]
    said = [f"{earlier}: left out, {key}={value} has no such key" for earlier in unfit]
    return [*(earlier for earlier in kept if earlier not in unfit), word], said


def _is_unfit(earlier: str, group: str, keys: Sequence[str]) -> bool:
    """Whether a key belongs to a group's former option alone."""
    section, _, rest = earlier.partition(".")
    return section == group and bool(rest) and rest.partition(".")[0] not in (*keys, *_shared(group))


def _shared(group: str) -> tuple[str, ...]:
    from hpo_cli.options import main_config

    section = main_config().defaults.get(group)
    return tuple(section) if isinstance(section, Mapping) else ()


def absolute(word: str, setting: Setting) -> str:
    """`lr/=3` as `lr=0.0001`, by what the config has; other words as they are. Raises ConfigError."""
    if not _RELATIVE.match(word):
        return word
    from hpo_cli.compose import parsed_value

    key, op, given = split_word(word)
    changed = revised(*setting, {key: [op, parsed_value(key, given)]})
    return f"{key}={typed(value_of(*changed, key))}"


def key_of(word: str) -> str:
    """The key of an override word, without the marks that Hydra knows.

    >>> key_of("++optimizer.lr=0.1"), key_of("~model.norm"), key_of("lr=1e-3"), key_of("model@x=cnn")
    ('optimizer.lr', 'model.norm', 'lr', 'model')
    """
    return word.partition("=")[0].lstrip("+~").partition("@")[0].strip()


def nudge_words(begun: Setting, now: Setting) -> list[str]:
    """The words that make a config what its nudges made it. begun, now: before them and after."""
    changed = [key for key in hot_keys(now.config) if _differs(begun, now, key)]
    found = [f"{key}={typed(value_of(*now, key))}" for key in changed if not _belongs_to_more(key)]
    if any(term_of(key) for key in changed):
        found.append(f"loss.terms={typed(now.config['loss']['terms'])}")
    return [*_schedule_words(begun, now), *found]


def _belongs_to_more(key: str) -> bool:
    return key == "schedule" or schedule_key(key) is not None or term_of(key) is not None


def _differs(begun: Setting, now: Setting, key: str) -> bool:
    return not has(begun.config, key) or value_of(*begun, key) != value_of(*now, key)


def _schedule_words(begun: Setting, now: Setting) -> list[str]:
    before, after = (value_of(*setting, "schedule") for setting in (begun, now))
    keys = {key: value for key, value in after.items() if key not in ("option", "_target_")}
    if before["option"] != after["option"]:
        return [f"schedule={after['option']}", *(f"schedule.{key}={typed(value)}" for key, value in keys.items())]
    return [f"schedule.{key}={typed(value)}" for key, value in keys.items() if before.get(key) != value]


def typed(value: Any) -> str:
    """A config value as an override word has it, so that it is read back to the same value.

    >>> typed([0.9, None, True]), typed("a b"), typed({"a": 1e-05}), typed("null"), typed(3)
    ('[0.9,null,true]', "'a b'", '{a:1e-05}', "'null'", '3')
    """
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{typed(str(key))}:{typed(item)}" for key, item in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(map(typed, value)) + "]"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, str) and (not _PLAIN.fullmatch(value) or value.lower() in _TAKEN):
        return f"'{_BEFORE_QUOTE.sub(_escaped, value)}'"
    return str(value)


def _escaped(found: re.Match[str]) -> str:
    return found[1] * 2 + found[2].replace("'", "\\'")
