"""`hpo-run -m ...`: what the words of a sweep ask for, decided."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpo_cli.errors import ConfigError, Problem
from hpo_cli.sweep.interrupts import Interrupts
from hpo_cli.verbs.arguments import OUTPUTS_VARIABLE
from hpo_cli.verbs.composing import AUTO, ComposeWords

if TYPE_CHECKING:
    from hpo_cli.composer import Composer
    from hpo_cli.grammar import SweepWords
    from hpo_cli.plan import RunPlan
    from hpo_cli.sweep.asked import Asked
    from hpo_cli.sweep.dimension import Dimension
    from hpo_cli.sweep.settings import SweepSettings
    from hpo_cli.verbs.sweeping import Opened


@dataclass(frozen=True)
class Wish:
    """The words of a sweep, told apart. parent: what stands behind `resume=`, where trials are branches of a run."""

    words: ComposeWords
    found: SweepWords
    settings: SweepSettings
    parent: str | None = None


def multirun(words: ComposeWords, *, allow: Sequence[str] = ()) -> int:
    """Sweep as the words ask; the exit code: 0, 1 when a trial failed for good, 128 + n after a signal."""
    from hpo_cli.verbs.sweeping import Workers, drive

    interrupts = Interrupts()
    interrupts.install()
    with Workers(words.overrides) as workers:  # they import torch while the words are read
        return drive(_opened(words, allow), workers, interrupts, allow=allow)


def _opened(words: ComposeWords, allow: Sequence[str]) -> Opened:
    """The sweep that the words begin, or that they go on with."""
    from hpo_cli.verbs.sweeping import begin, change, open_again

    wish = read(words)
    folder = _existing(wish)
    if folder is None:
        return begin(ask(wish, allow=allow), words)
    opened = open_again(folder)
    if wish.settings.resume is not None and not (wish.found.base or wish.found.dimensions):
        for line in _take_over(opened, wish):
            sys.stderr.write(f"{folder.name}: {line}\n")
        return opened
    given = [key.removeprefix("sweep.") for key in map(_key, wish.found.sweep) if key.startswith("sweep.")]
    for line in change(opened, ask(wish, allow=allow), given=given):
        sys.stderr.write(f"{folder.name}: {line}\n")
    return opened


def _take_over(opened: Opened, wish: Wish) -> list[str]:
    """What `sweep.resume=F sweep.trials=30` changes of a sweep that keeps its own words for all else, in lines.

    Raises ConfigError for what cannot change while a sweep runs.
    """
    from hpo_cli.sweep.editing import write_edit

    state, asked = opened.state, wish.settings
    if asked.option not in ("default", state.settings.option):
        rule = f"cannot change while a sweep runs, and this one is {state.settings.option}"
        raise ConfigError("sweep", asked.option, rule=rule, fix="leave it out, or begin another sweep")
    with opened.log.locked():
        state.replay(opened.log.news())
        words = [word for word in wish.found.sweep if _differs(word, asked, state.settings)]
        return list(write_edit(state, opened.log, words, who="its command").lines) if words else []


def _differs(word: str, asked: SweepSettings, now: SweepSettings) -> bool:
    """Whether a word asks for another setting than the one that holds."""
    key = _key(word).removeprefix("sweep.")
    return key not in ("sweep", "dir", "resume") and getattr(asked, key) != getattr(now, key)


def dry_run(words: ComposeWords, *, allow: Sequence[str] = ()) -> int:
    """Show what a sweep would train, and what it would cost; the exit code."""
    from hpo_cli.verbs.sweep_preview import preview

    return preview(ask(read(words), allow=allow))


def read(words: ComposeWords) -> Wish:
    """The words told apart, and what `sweep.*` says. Raises ConfigError."""
    from hpo_cli.grammar_together import read_together

    runs = [word for word in words.overrides if _key(word) == "resume"]
    rest = tuple(word for word in words.overrides if _key(word) not in ("resume", "branch"))
    told = read_together(
        rest, config_dir=words.config_dir, config_name=words.config_name, runs="of_another" if runs else "new"
    )
    return Wish(words, told.found, told.settings, parent=runs[-1].partition("=")[2] if runs else None)


def ask(wish: Wish, *, allow: Sequence[str] = ()) -> Asked:
    """What is to be swept, with everything decided. Raises ConfigError naming every problem."""
    from hpo_cli.composer import Composer
    from hpo_cli.sweep.asked import Asked, aims_of, check_sweep, inner_of
    from hpo_cli.sweep.settings import decide
    from hpo_cli.sweep.space import Space

    found, parent = wish.found, None
    base = replace(wish.words, overrides=found.base)
    _refuse_auto(found.base)
    if wish.parent is not None:
        from hpo_cli.verbs.offspring import of_run

        outputs = outputs_of(wish.words.overrides)
        varied = [key for one in found.dimensions for key in one.keys]
        parent, base = of_run(wish.parent, base, outputs=outputs, allow=allow, varied=varied)
    composer = Composer(base.overrides, config_dir=base.config_dir, config_name=base.config_name)
    first = {key: choices[0] for key, choices in _listed(found).items()}
    plan = _plan(composer, first, found.inner)
    dimensions = [*found.dimensions, *_own(wish, plan.choices, base)]
    _refuse_two_names(base.overrides, dimensions)
    space = Space(tuple(dimensions), _base_of(dimensions, plan.config, plan.choices))
    settings = decide(wish.settings, space)
    aims = aims_of(found.aims, plan, settings)
    check_sweep(settings, space, aims, epochs=plan.epochs)
    inner = inner_of(found.inner, plan, settings)
    _plan(composer, first, inner)
    return Asked(
        words=wish.words.overrides,
        base=base.overrides,
        plan=plan,
        space=space,
        settings=settings,
        aims=aims,
        inner=inner,
        parent=parent,
        launcher=found.launcher,
        config_dir=base.config_dir,
        config_name=base.config_name,
        first=first,
        open=("trials",) if wish.settings.trials is None else (),
    )


def _plan(composer: Composer, first: Mapping[str, Any], inner: Sequence[Mapping[str, Any]]) -> RunPlan:
    """The plan of the first run of a trial. Raises ConfigError with what is wrong with any of them."""
    plans: list[RunPlan] = []
    problems: dict[str, Problem] = {}
    for row in inner or ({},):
        try:
            plans.append(composer.made({**first, **row}).plan)
        except ConfigError as error:
            problems.update({str(problem): problem for problem in error.problems})
    if problems:
        raise ConfigError.of(problems.values())
    return plans[0]


def outputs_of(words: Sequence[str]) -> str:
    """The folder of all runs, by the words or the environment."""
    given = [word.partition("=")[2] for word in words if _key(word) == "outputs"]
    return given[-1] if given else os.environ.get(OUTPUTS_VARIABLE) or "outputs"


def _existing(wish: Wish) -> Path | None:
    """The folder of the sweep that is meant to go on; None for a new one. Raises UserError."""
    from hpo_cli.record.sweeps import SWEEP, find_sweep, is_sweep

    settings = wish.settings
    if settings.resume is not None:
        return find_sweep(settings.resume, outputs_of(wish.words.overrides))
    if settings.dir is None or not is_sweep(settings.dir):
        return None
    place = Path(settings.dir)
    return place if (place / SWEEP).stat().st_size else None  # killed before its first line: it begins now


def _listed(found: SweepWords) -> dict[str, Sequence[Any]]:
    """Group -> the options that are listed for it."""
    groups = [one for one in found.dimensions if one.keys[0] in found.groups and len(one.keys) == 1]
    return {one.keys[0]: one.choices for one in groups if one.choices}


def _own(wish: Wish, choices: Mapping[str, str], base: ComposeWords) -> Sequence[Dimension]:
    """The ranges that options bring along, where a search is asked for and no range is named."""
    from hpo_cli.grammar import OWN_GROUPS, own_space

    found, settings = wish.found, wish.settings
    is_search = settings.search not in (None, "grid") or settings.scheduler != "none"
    if settings.groups is None and (found.has_ranges or not is_search):
        return []
    named = [group for group in found.groups if group in OWN_GROUPS]
    groups = settings.groups or named or OWN_GROUPS
    return own_space({**choices, **_listed(found)}, groups, config_dir=base.config_dir, taken=found.taken)


def _base_of(dimensions: Sequence[Dimension], config: Mapping[str, Any], choices: Mapping[str, str]) -> dict[str, Any]:
    """What the config has where conditions look, and for every key that is searched: the base point."""
    keys = {condition.key for one in dimensions for condition in one.when} | {k for one in dimensions for k in one.keys}
    return {key: choices[key] if key in choices else _at(config, key) for key in sorted(keys)}


def _at(config: Mapping[str, Any], key: str) -> Any:
    value: Any = config
    for part in key.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def _refuse_auto(words: Sequence[str]) -> None:
    if f"batch_size={AUTO}" in words:
        rule = "is measured for one model, and a sweep trains many"
        raise ConfigError("batch_size", AUTO, rule=rule, fix="give a number, or several: batch_size=32,64")


def _refuse_two_names(words: Sequence[str], dimensions: Sequence[Dimension]) -> None:
    """Raises ConfigError where a word of every trial sets what is varied under another name: no trial could begin."""
    from hpo_cli.steer.hot import canonical

    varied = {canonical(key): key for one in dimensions for key in one.keys}
    for key in map(_key, words):
        other = varied.get(canonical(key), key)
        if other != key:
            raise ConfigError(key, rule=f"is the same quantity as {other}, which is varied", fix="give one of them")


def _key(word: str) -> str:
    return word.partition("=")[0]
