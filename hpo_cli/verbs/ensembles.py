"""`hpo-run test RUN RUN ...`: several runs of the same data as one model."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpo_cli.console import styles
from hpo_cli.console.comparison import comparison
from hpo_cli.console.figures import figure
from hpo_cli.console.output import Line, Span, line, width, write, write_json
from hpo_cli.console.tables import one_line
from hpo_cli.errors import UserError, shown
from hpo_cli.record.contents import Values, mapping
from hpo_cli.record.examinations import Examinations, asked_averaged, asked_best, read_examinations
from hpo_cli.record.metrics import number
from hpo_cli.record.weights import averaged_weights
from hpo_cli.verbs.test import refuse_running, tested_before
from hpo_cli.verbs.trusting import fitting_files, trusted_plan

if TYPE_CHECKING:
    from hpo_cli.engine.ensemble import Ensemble
    from hpo_cli.engine.saved import Saved
    from hpo_cli.plan import RunPlan

_DIFFER_FREELY = ("fold", "placement", "num_workers")
"""Keys of the data section that leave the test split and the task as they are."""


def test_together(folders: Sequence[Path], args: argparse.Namespace) -> int:
    """Examine an ensemble, or show what its examination said."""
    for index, folder in enumerate(folders):
        if folder.name in {other.name for other in folders[:index]}:
            raise UserError(f"{folder.name}: is given twice; an ensemble counts each run once")
    earlier = None if args.val else _earlier(folders, args)
    found = mapping(earlier.get("judged")) if earlier else _judged(folders, args)
    if args.json:
        write_json({"tested_before": bool(earlier), **found})
        return 0
    head = [tested_before(earlier)] if earlier else []
    write([*head, *_report(found)])
    return 0


def _earlier(folders: Sequence[Path], args: argparse.Namespace) -> Values | None:
    """What any member's ledger says of an examination of just these runs with the weights that are asked for."""
    asked = {folder.name: asked_averaged(folder) if args.averaged else asked_best(folder) for folder in folders}
    known = {folder.name: read_examinations(folder) for folder in folders}
    events = (event for examinations in known.values() for event in examinations.together)
    return next((event for event in events if _is_of(event, asked, known)), None)


def _is_of(event: Values, asked: Mapping[str, str | None], known: Mapping[str, Examinations]) -> bool:
    """Whether an ensemble's examination is of these runs' weights. None: the file is gone, the run is known by name."""
    members = [mapping(member) for member in mapping(event.get("judged")).get("members") or []]
    judged = {str(member.get("run")): str(member.get("checkpoint")) for member in members}
    return judged.keys() == asked.keys() and all(
        asked[run] in (None, checkpoint) and known[run].holds_since(checkpoint, event)
        for run, checkpoint in judged.items()
    )


def _judged(folders: Sequence[Path], args: argparse.Namespace) -> Values:
    for folder in folders:
        refuse_running(folder)
    plans = [trusted_plan(folder, args.allow) for folder in folders]
    for folder, plan in zip(folders[1:], plans[1:], strict=True):
        _check_alike(folders[0].name, plans[0], folder.name, plan)
    runs = _loaded(folders, plans, averaged=args.averaged)
    known = {saved.folder: alone for saved in runs if (alone := _alone(saved))}
    from hpo_cli.engine.ensemble import examine_together, validate_together

    found: Ensemble = validate_together(runs) if args.val else examine_together(runs, known=known)
    return found.to_dict()


def _alone(saved: Saved) -> dict[str, float]:
    """What an examination of just these weights said, without the `test/` before each name; empty without one."""
    own = read_examinations(saved.folder).of(saved.checkpoint)
    metrics = mapping(own.get("metrics")) if own else {}
    return {name.removeprefix("test/"): value for name, text in metrics.items() if (value := number(text)) is not None}


def _loaded(folders: Sequence[Path], plans: Sequence[RunPlan], *, averaged: bool) -> list[Saved]:
    """The runs, live; data that several share are loaded once."""
    from hpo_cli.engine.saved import load_saved

    runs: list[Saved] = []
    for folder, plan in zip(folders, plans, strict=True):
        splits = next((run.splits for run in runs if run.plan.data == plan.data), None)
        path = averaged_weights(folder) if averaged else None
        with fitting_files(folder):
            runs.append(load_saved(folder, plan, path=path, splits=splits))
    return runs


def _check_alike(one: str, plan: RunPlan, other: str, another: RunPlan) -> None:
    """Raise UserError, naming the first difference, unless both test the same samples for the same task."""
    here, there = (_data_of(each) for each in (plan, another))
    for key in {**here, **there}:
        if here.get(key) != there.get(key):
            values = f"{one} has {key}={shown(here.get(key))}, {other} has {key}={shown(there.get(key))}"
            raise UserError(f"{values}; an ensemble needs runs of the same data and split")


def _data_of(plan: RunPlan) -> dict[str, Any]:
    section = mapping(plan.config["data"])
    keys = {f"data.{key}": value for key, value in section.items() if key not in _DIFFER_FREELY}
    return {"data": plan.choices["data"], **keys}


def _report(found: Values) -> Iterator[Line]:
    members = [mapping(member) for member in found.get("members") or []]
    ensemble = mapping(found.get("ensemble"))
    for part, title in (("val", "validation"), ("test", "test")):
        of_members = [mapping(member.get(part)) for member in members]
        names = list(dict.fromkeys(name for metrics in of_members for name in metrics))
        if not names:
            continue
        yield line(Span(title, styles.TITLE))
        rows = [
            [Span(one_line(str(member.get("run")))), *_figures(metrics, names, "")]
            for member, metrics in zip(members, of_members, strict=True)
        ]
        together = mapping(ensemble.get(part))
        if together:
            name = Span(f"ensemble of {len(members)}", styles.TITLE)
            rows.append([name, *_figures(together, names, styles.TITLE)])
        yield from comparison("run", list(map(one_line, names)), rows, width=width(), indent="  ")
        if not together:
            yield line(Span("  each on a fold of its own, so there is no ensemble of it", styles.QUIET))
    if not any(member.get("test") for member in members):
        yield line(Span("the test split was not looked at; leave out --val to do so, once", styles.QUIET))


def _figures(metrics: Mapping[str, object], names: Sequence[str], style: str) -> Iterator[Span]:
    for name in names:
        yield Span(figure(number(metrics.get(name))), style)
