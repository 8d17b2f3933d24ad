"""The settings that no run can have, which a search proposed all the same: why, and how many of each kind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hpo_cli.sweep.fold import SweepState


@dataclass(frozen=True)
class Refusal:
    """One reason. num: settings that were refused for it.   setting: the first of them."""

    reason: str
    num: int
    setting: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        """All fields in types that JSON knows."""
        return {"reason": self.reason, "num": self.num, "setting": dict(self.setting)}


def refusals(state: SweepState) -> tuple[Refusal, ...]:
    """The reasons, that of the most settings first; of equal ones the first."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    for event in state.refused:
        reason = " ".join(str(event.get("reason") or "no reason was recorded").split())
        found.setdefault(reason, []).append(event.get("setting") or {})
    told = [Refusal(reason, len(settings), settings[0]) for reason, settings in found.items()]
    return tuple(sorted(told, key=lambda one: -one.num))
