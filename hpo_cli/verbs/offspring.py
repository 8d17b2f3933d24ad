"""`hpo-run -m resume=RUN@best lr=1e-3,1e-4`: the words of a sweep whose trials are branches of one run."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from hpo_cli.errors import UserError
from hpo_cli.record.runs import find_run
from hpo_cli.steer.hot import canonical
from hpo_cli.steer.targets import Goal, parse_target
from hpo_cli.verbs.children import Parent, read_parent
from hpo_cli.verbs.composing import ComposeWords
from hpo_cli.verbs.inheriting import Inheritance, absolute, key_of


def of_run(
    ref: str, words: ComposeWords, *, outputs: str, allow: Sequence[str] = (), varied: Sequence[str] = ()
) -> tuple[dict[str, Any], ComposeWords]:
    """The parent of a sweep's jobs, and the words that all its trials have before their own settings.

    ref: what stands behind `resume=`: RUN or RUN@PLACE, as `a1b2c3@best`, `last@epoch=3`, `a1b2c3@tag=good`.
    words: those of the sweep that are the same for all.   varied: the keys of its settings, for which the parent's own
    words make room, under all their names. The place is decided now, whatever the run does later.
    Raises UserError where there is no such run or place, or its words do not make its plan any more.
    """
    name, place = split_place(ref)
    parent = read_parent(find_run(name, outputs), allow=allow)
    goal = parent.goal(place)
    found = _heir(parent, goal, words.overrides)
    for line in found.dropped:
        sys.stderr.write(f"{line}\n")
    where = {
        "run": str(parent.folder.resolve()),
        "at": place,
        "plan_id": parent.plan.plan_id,
        "step": goal.step,
        "line": list(goal.line_ids),
    }
    rooms = {canonical(key) for key in varied}
    kept = tuple(word for word in found.words.overrides if canonical(key_of(word)) not in rooms)
    return where, _with_options(replace(found.words, overrides=kept), words)


def branch_words(run: Path, at: str, overrides: Sequence[str], *, allow: Sequence[str] = ()) -> ComposeWords:
    """What composes the child that leaves the run in folder `run` at a place with these overrides. Raises UserError."""
    parent = read_parent(run, allow=allow)
    return _heir(parent, parent.goal(at), overrides).words


def split_place(ref: str) -> tuple[str, str]:
    """The run and the place in its past; without one it is `last`. Raises UserError for a place that is none.

    >>> split_place("a1b2c3@best"), split_place("outputs/me@home/a1b2c3")
    (('a1b2c3', 'best'), ('outputs/me@home/a1b2c3', 'last'))
    """
    name, mark, place = ref.rpartition("@")
    if not mark or "/" in place:
        return ref, "last"
    parse_target(place)
    return name, place


def _heir(parent: Parent, goal: Goal, overrides: Sequence[str]) -> Inheritance:
    setting = parent.setting_at(goal)
    return parent.heir(goal, [absolute(word, setting) for word in overrides])


def _with_options(own: ComposeWords, asked: ComposeWords) -> ComposeWords:
    """With the folder of options that is asked for, where the parent has none of its own."""
    if asked.config_dir is None or asked.config_dir.resolve() == (own.config_dir or asked.config_dir).resolve():
        return replace(own, config_dir=own.config_dir or asked.config_dir)
    fix = "leave --config-dir out, or give the same"
    raise UserError(f"--config-dir {asked.config_dir}: the run was started with {own.config_dir}; {fix}")
