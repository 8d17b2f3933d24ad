"""The colours of meanings, one table for all that is printed."""

from __future__ import annotations

from hpo_cli.console.output import Span

STATUS = {
    "finished": "green",
    "failed": "red",
    "interrupted": "yellow",
    "stopped": "yellow",
    "paused": "bright_yellow",
    "running": "bright_cyan",
    "running?": "cyan",
    "died": "red",
    "damaged": "bright_red",
    "not started": "bright_blue",
}
GOOD, BAD, QUIET, TITLE = "green", "red", "dim", "bold"
WINNER = "bold green"
WAITS = "bright_yellow"


def status(word: str) -> Span:
    """A run's status in its colour."""
    return Span(word, STATUS.get(word, ""))
