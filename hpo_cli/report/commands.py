"""What to type next: train the winner, raise it as a panda, run the best again with several seeds, repeat the sweep."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hpo_cli.record.contents import DamagedError, count, read_plan

if TYPE_CHECKING:
    from hpo_cli.sweep.fold import SweepState
    from hpo_cli.sweep.state import Trial

_PLAIN = re.compile(r"[A-Za-z_][\w./-]*")
_SEEDS = 5
_LONGER = 5
_CONF = "conf"  # of the sweep's folder: the options as they were when it began


def train(state: SweepState, trial: Trial, *, threads: int | None = None) -> str:
    """The command that trains a trial's setting as one run, to the same bits.

    threads: how many its run computed with: another number is another order of sums, and of a tiny network's time.
    A trial that is a branch leaves the same step of its parent; the words of the parent are among its own.
    A trial that took other states over has no one setting: the command that writes its whole schedule as a config.
    """
    if trial.num_adopted:
        return _typed(["export", trial.runs[0].folder])
    words = [*_words(state, trial)]
    if threads is not None and not any(_key(word) == "trainer.threads" for word in words):
        words.append(f"trainer.threads={threads}")
    parent = state.began.get("parent")
    return _typed(branching(parent, words) if parent else [*_options(state), *words])


def branching(parent: Mapping[str, Any], words: Sequence[str]) -> list[str]:
    """The words that leave a run where a branch left it: `best` and `last` may be elsewhere by now, a step is not."""
    step = parent.get("step")
    at = str(parent.get("at") or "last") if step is None else f"step={step}"
    return ["branch", str(parent.get("path") or parent["run"]), "--at", at, *words]


def raise_as_panda(state: SweepState, trial: Trial, *, ref: str = "") -> str:
    """The command that goes on with the best run, for five times the epochs of its own plan. ref: of the sweep."""
    return _typed([f"resume=best:{ref or state.id}", f"epochs={_LONGER * own_epochs(state, trial)}"])


def own_epochs(state: SweepState, trial: Trial) -> int:
    """The epochs of a trial's plan, which are not the sweep's where they are varied."""
    try:
        planned = count(read_plan(state.folder / trial.runs[0].folder).get("epochs"))
    except DamagedError:
        planned = None
    return planned or count(trial.setting.get("epochs")) or state.epochs


def repeat(state: SweepState) -> str:
    """The command that does the whole sweep again."""
    return _typed(["-m", *state.began.get("words", ())])


def with_seeds(state: SweepState, trials: Sequence[Trial], *, seeds: int = _SEEDS) -> list[str]:
    """Commands that run these settings again with several seeds: one where they vary the same keys, else one each.

    None where seeds would tell nothing: `why_no_seeds`.
    """
    if why_no_seeds(state, trials):
        return []
    keys = {tuple(trial.setting) for trial in trials}
    if len(keys) == 1 and len(trials) > 1:
        shared, zipped = _zipped(trials)
        return [_typed(["-m", *_base_words(state, trials[0]), *shared, *zipped, f"sweep.seeds={seeds}"])]
    return [_typed(["-m", *_words(state, trial), f"sweep.seeds={seeds}"]) for trial in trials]


def why_no_seeds(state: SweepState, trials: Sequence[Trial]) -> str:
    """Why no command with several seeds could tell these trials apart; empty where it could."""
    if any(trial.num_adopted for trial in trials) or state.settings.scheduler == "pbt":
        return "members of a population take each other's states over: seeds of one of them alone tell nothing"
    if state.began.get("parent"):
        return "all branches begin with the same state, its random numbers too: seeds would tell nothing of the parent"
    return ""


def word(key: str, value: Any) -> str:
    """An override as Hydra reads it.

    >>> word("lr", 0.01), word("model.widths", [32, 16]), word("name", "a b"), word("x", None)
    ('lr=0.01', 'model.widths=[32,16]', "name='a b'", 'x=null')
    """
    return f"{key}={_value(value)}"


def _options(state: SweepState) -> list[str]:
    """Where the option files lie that the trials were composed with, where they are not ours alone."""
    if not state.began.get("config_dir"):
        return []
    name = state.began.get("config_name") or "config"
    return ["--config-dir", str(state.folder / _CONF), *(["--config-name", name] if name != "config" else [])]


def _typed(words: Sequence[str]) -> str:
    return shlex.join(["hpo-run", *words])


def _words(state: SweepState, trial: Trial) -> list[str]:
    proposed = (trial.proposed or {}).get("words")
    if proposed is not None:
        return [str(one) for one in proposed]
    return [*_base_words(state, trial), *(word(key, value) for key, value in trial.setting.items())]


def _base_words(state: SweepState, trial: Trial) -> list[str]:
    """What the trials share: the words of the trial, or of the sweep, that set nothing which is varied."""
    given = state.began.get("base") or (trial.proposed or {}).get("words") or state.began.get("words", ())
    varied = {"sweep", *trial.setting, *(key for one in state.space.dimensions for key in one.keys)}
    keys = {str(one): _key(str(one)) for one in given}
    return [one for one, key in keys.items() if key not in varied and not key.startswith(("sweep.", "-"))]


def _key(given: str) -> str:
    return given.partition("=")[0].lstrip("+~")


def _zipped(trials: Sequence[Trial]) -> tuple[list[str], list[str]]:
    """The words that the trials share, and lists of what differs, which go together."""
    first: Mapping[str, Any] = trials[0].setting
    differing = [key for key in first if any(trial.setting[key] != first[key] for trial in trials)]
    shared = [word(key, value) for key, value in first.items() if key not in differing]
    lists = [f"{key}={','.join(_value(trial.setting[key]) for trial in trials)}" for key in differing]
    together = [f"sweep.zip=[[{','.join(differing)}]]"] if len(differing) > 1 else []
    return shared, [*lists, *together]


def _value(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    if isinstance(value, list | tuple):
        return f"[{','.join(map(_value, value))}]"
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{key}:{_value(of)}" for key, of in value.items()) + "}"
    if isinstance(value, str) and not _PLAIN.fullmatch(value):
        return "'" + value.replace("'", "\\'") + "'"
    return value if isinstance(value, str) else json.dumps(value)
