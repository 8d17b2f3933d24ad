"""What a run's folder says of the run as it is now: its living line, and its config with every nudge in force."""

from __future__ import annotations

from pathlib import Path

from hpo_cli.errors import UserError
from hpo_cli.record.contents import DamagedError, mapping, read_plan
from hpo_cli.record.ledger import read_ledger
from hpo_cli.record.line import Line, living_line
from hpo_cli.steer.settings import Setting, settled


def current_line(folder: Path | str) -> Line:
    """What of a run's ledger is in force. Raises UserError."""
    try:
        return living_line(read_ledger(folder).events)
    except OSError as error:
        raise UserError(f"{folder}: its ledger cannot be read ({error.strerror}); restore it") from error


def current_setting(folder: Path | str) -> Setting:
    """The config that the run has now: the one it was started with, and what was nudged since. Raises UserError."""
    try:
        saved = read_plan(folder)
    except DamagedError as error:
        raise UserError(f"{folder}: {error}; restore the file") from error
    config = {key: value for key, value in saved.items() if key not in ("plan_id", "choices")}
    choices = {str(group): str(option) for group, option in mapping(saved.get("choices")).items()}
    return settled(config, choices, current_line(folder))
