"""`hpo-run pause RUN`: let a run wait between two steps."""

from __future__ import annotations

from collections.abc import Sequence

from hpo_cli.verbs.sending import deliver, read_sender, steering_parser


def main(argv: Sequence[str]) -> int:
    """Send it and print the answer. Raises UserError."""
    parser = steering_parser("pause", about="Let a run save its state and wait between two steps until it is unpaused.")
    deliver(read_sender(parser, argv), "pause", {})
    return 0
