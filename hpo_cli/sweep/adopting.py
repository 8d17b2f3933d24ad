"""Another run's newest state as a link in a run's own folder, made at once: what the other prunes later stays there."""

from __future__ import annotations

import secrets
from contextlib import suppress
from pathlib import Path

from hpo_cli.record.atomic import link_or_copy
from hpo_cli.record.contents import count, text
from hpo_cli.record.folder import CHECKPOINTS
from hpo_cli.record.ledger import Event, read_ledger
from hpo_cli.record.line import Line, living_line
from hpo_cli.record.links import refuse_link
from hpo_cli.record.weights import numbered, order_of

_STATES = ("step-", "kept-")
BEST = "-best-"
"""In the name of the link to the best weights; `engine.adoption` looks for it."""


def newest_state(folder: Path) -> str | None:
    """The newest state, by its ledger, from which the run in `folder` could go on, as a file in the folder.

    None where there is none. The file's content is not looked at.
    """
    event = _newest(folder, _line(folder), _STATES)
    return None if event is None else f"{CHECKPOINTS}/{_name(event)}"


def link_newest(source: Path, folder: Path) -> str | None:
    """Link the newest state of the run in `source`, and its best weights until then, into the run in `folder`.

    The link in `folder`, under a name that nothing else has; None where `source` has no state. What is pruned there
    in between is looked for again.
    """
    stem = f"adopted-{secrets.token_hex(4)}"
    for _ in range(_ATTEMPTS):
        event = _newest(source, _line(source), _STATES)
        if event is None:
            return None
        try:
            linked = link_state(source / CHECKPOINTS / _name(event), folder, f"{stem}.pt")
        except FileNotFoundError:  # pruned since
            continue
        _link_best(source, folder, stem, upto=event["step"])
        return linked
    return None


_ATTEMPTS = 5


def link_state(state: Path, folder: Path, name: str) -> str:
    """A hard link to a file, or a copy where links fail, as `checkpoints/<name>` of the run in `folder`.

    Raises FileNotFoundError where the state is not there any more.
    """
    target = folder / CHECKPOINTS / name
    refuse_link(target.parent)
    target.parent.mkdir(parents=True, exist_ok=True)
    link_or_copy(state, target)
    return f"{CHECKPOINTS}/{name}"


def _link_best(source: Path, folder: Path, stem: str, *, upto: int) -> None:
    """The best weights may have been pruned, or never written: the state alone is enough to go on."""
    files = [path for path in numbered(source / CHECKPOINTS, "best-") if order_of(path)[0] <= upto]
    if files:
        with suppress(FileNotFoundError):
            link_state(files[-1], folder, f"{stem}{BEST}{order_of(files[-1])[0]:08d}.pt")


def _line(folder: Path) -> Line:
    try:
        return living_line(read_ledger(folder).events)
    except FileNotFoundError:
        return Line()


def _newest(folder: Path, line: Line, prefixes: tuple[str, ...]) -> Event | None:
    found = [event for event in line.checkpoints if _name(event).startswith(prefixes)]
    there = [event for event in found if (folder / CHECKPOINTS / _name(event)).is_file()]
    return max(reversed(there), key=lambda event: count(event.get("step")) or 0, default=None)


def _name(event: Event) -> str:
    return Path(text(event.get("file"))).name
