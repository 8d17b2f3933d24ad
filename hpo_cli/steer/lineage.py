"""What the model of a run met from its very start, through every state that it took over from another run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from hpo_cli.record.contents import count, mapping
from hpo_cli.record.ledger import Event
from hpo_cli.record.line import Line, force_step, is_adoption
from hpo_cli.steer.hot import knob_of
from hpo_cli.steer.settings import Setting, has, hot_keys, settled, value_of

Met = dict[str, Any]
"""{step, knobs: {key: {old, new}}, skip_batches?}, in types that JSON knows."""


def lineage(line: Line) -> list[Met]:
    """What the model met, in order. The first entry is where it began: the knobs that its plan has otherwise.

    A run that took over no state began with its own plan, so that entry is empty.
    """
    taken = [event for event in line.chain if is_adoption(event)]
    if not taken:
        return [_met(0, {}), *_nudges(line.chain)]
    last = taken[-1]
    later = line.chain[line.chain.index(last) + 1 :]
    known = [_met(count(met.get("step")) or 0, mapping(met.get("knobs")), met) for met in _history(last)]
    changed = mapping(last["adopted"].get("changes"))
    here = [_met(force_step(last), changed)] if changed else []
    return [*(known or [_met(0, {})]), *here, *_nudges(later)]


def beginning(config: Mapping[str, Any], choices: Mapping[str, str], line: Line) -> Setting:
    """The config that the model of a run began with: its plan's, or that of the run whose state it has by now."""
    return settled(config, choices, Line((lineage(line)[0],)))


def seen_from(config: Mapping[str, Any], choices: Mapping[str, str], begun: Setting) -> dict[str, Mapping[str, Any]]:
    """The knobs with which a model began otherwise than the plan of `config` has them, {key: {old, new}}."""
    keys = [key for key in _knobs(begun.config) if has(config, key)]
    values = {key: {"old": value_of(config, choices, key), "new": value_of(*begun, key)} for key in keys}
    return {key: change for key, change in values.items() if change["old"] != change["new"]}


def _knobs(config: Mapping[str, Any]) -> list[str]:
    """The knobs as ledgers have them: the schedule is one."""
    return list(dict.fromkeys(map(knob_of, hot_keys(dict(config)))))


def _history(event: Event) -> Sequence[Mapping[str, Any]]:
    found = event["adopted"].get("history")
    return [met for met in found if isinstance(met, dict)] if isinstance(found, list) else []


def _nudges(chain: Sequence[Event]) -> Iterator[Met]:
    for event in chain:
        if event["event"] == "nudged" or event.get("skip_batches"):
            yield _met(force_step(event), mapping(event.get("knobs")), event)


def _met(step: int, knobs: Mapping[str, Any], told: Mapping[str, Any] | None = None) -> Met:
    skipped = count((told or {}).get("skip_batches"))
    return {"step": step, "knobs": dict(knobs), **({"skip_batches": skipped} if skipped else {})}
