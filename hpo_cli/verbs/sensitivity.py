"""`hpo-run sensitivity [words]`: one knob at a time round a base point, to see which of them matter."""

from __future__ import annotations

from collections.abc import Sequence

from hpo_cli.verbs import train


def main(argv: Sequence[str]) -> int:
    """The same as `hpo-run -m sweep=sensitivity ...`; the exit code. Raises UserError."""
    return train.main(["-m", "sweep=sensitivity", *argv])
