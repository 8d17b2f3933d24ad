"""`hpo-run unpause RUN`: let a paused run go on."""

from __future__ import annotations

from collections.abc import Sequence

from hpo_cli.verbs.sending import deliver, read_sender, steering_parser


def main(argv: Sequence[str]) -> int:
    """Send it and print the answer. Raises UserError."""
    deliver(read_sender(steering_parser("unpause", about="Let a paused run go on."), argv), "unpause", {})
    return 0
