"""What a run's ledger says of looks at the test split, and which weights each of them judged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from hpo_cli.errors import UserError
from hpo_cli.record import ledger
from hpo_cli.record.contents import Values, text
from hpo_cli.record.weights import averaged_weights, best_weights


@dataclass(frozen=True)
class Examinations:
    """A run's looks at its test split, first to last. alone: those without other runs; together: in an ensemble.

    made: when each file of averaged weights got the weights that it has, since making an average anew replaces it.
    """

    alone: tuple[Values, ...]
    together: tuple[Values, ...]
    made: Mapping[str, str]

    def of(self, checkpoint: str) -> Values | None:
        """The first examination, of this run alone, of the weights in `checkpoint`."""
        return next((event for event in self.alone if self.judged(checkpoint, event)), None)

    def judged(self, checkpoint: str, event: Values) -> bool:
        """Whether this event of one run is of the weights that `checkpoint` holds today."""
        return event.get("checkpoint") == checkpoint and self.holds_since(checkpoint, event)

    def holds_since(self, checkpoint: str, event: Values) -> bool:
        """Whether `checkpoint` had the weights of today when `event` was noted."""
        return text(event.get("at")) >= self.made.get(checkpoint, "")


def read_examinations(folder: Path) -> Examinations:
    """The examinations in a run's ledger. Raises UserError."""
    try:
        events = ledger.read_ledger(folder).events
    except OSError as error:
        rule = "so nothing tells whether it was tested before"
        raise UserError(f"{folder}: its ledger cannot be read ({error.strerror}), {rule}; restore it") from error
    tests = ledger.fold(events).tests
    alone = tuple(dict(event) for event in tests if "ensemble" not in event)
    together = tuple(dict(event) for event in tests if "ensemble" in event)
    return Examinations(alone, together, _made([event for event in events if event["event"] == "averaged"]))


def asked_averaged(folder: Path) -> str:
    """The file of the averaged weights, relative to the run's folder. Raises UserError where there are none."""
    return str(averaged_weights(folder).relative_to(folder))


def asked_best(folder: Path) -> str | None:
    """The file of the best weights, relative to the run's folder; None where they are no longer there."""
    path = best_weights(folder)
    return None if path is None else str(path.relative_to(folder))


def _made(averages: list[ledger.Event]) -> dict[str, str]:
    sums: dict[str, str] = {}
    made: dict[str, str] = {}
    for event in averages:
        file, sha256 = text(event.get("file")), text(event.get("sha256"))
        if sums.get(file) != sha256:
            sums[file], made[file] = sha256, text(event.get("at"))
    return made
