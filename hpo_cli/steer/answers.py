"""What a run's answer to a command says, in lines for a screen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hpo_cli.errors import printable, shown
from hpo_cli.record.contents import mapping, text, words
from hpo_cli.record.metrics import number


def answer_lines(ack: Mapping[str, Any]) -> list[str]:
    """`step 1234: lr 0.001 -> 0.0003 (this step used 0.000287)`, or the reason of a refusal."""
    if ack.get("ok") is not True:
        return [_one_line(line) for line in text(ack.get("error")).splitlines()] or ["refused, without a reason"]
    lines = [_one_line(line) for line in words(ack.get("said"))] or _changes(ack)
    rate = number(ack.get("lr"))
    if rate is not None and lines:
        lines[0] += f" (this step used {'' if _names_the_rate(ack) else 'lr '}{rate:.6g})"
    return lines or ["done"]


def _changes(ack: Mapping[str, Any]) -> list[str]:
    knobs = mapping(ack.get("knobs"))
    changes = [
        f"{key} {shown_value(mapping(it).get('old'))} -> {shown_value(mapping(it).get('new'))}"
        for key, it in knobs.items()
    ]
    return [_one_line(f"step {ack.get('step')}: {', '.join(changes)}")] if changes else []


def shown_value(value: object) -> str:
    """The value of a knob as people read it; a schedule by its name and keys.

    >>> shown_value({"option": "linear", "_target_": "x.linear", "rate": 1.0})
    'linear rate=1.0'
    """
    if not isinstance(value, Mapping):
        return shown(value)
    keys = [f"{key}={shown(item)}" for key, item in value.items() if key not in ("option", "_target_")]
    return " ".join([str(value.get("option", "")), *keys]).strip()


def _names_the_rate(ack: Mapping[str, Any]) -> bool:
    """Whether the rate stands right behind the change of the rate, and nothing else."""
    return list(mapping(ack.get("knobs"))) == ["lr"]


def _one_line(line: str) -> str:
    return printable(" ".join(line.split()))
