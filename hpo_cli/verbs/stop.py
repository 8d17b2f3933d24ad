"""`hpo-run stop RUN`: let a run save its state and end well."""

from __future__ import annotations

from collections.abc import Sequence

from hpo_cli.steer.targets import parse_due
from hpo_cli.verbs.sending import deliver, read_sender, steering_parser


def main(argv: Sequence[str]) -> int:
    """Send it and print the answer. Raises UserError."""
    parser = steering_parser("stop", about="Let a run save its state and end; `hpo-run resume=RUN` goes on later.")
    parser.add_argument("--at", metavar="WHEN", help="later: step=N, epoch=N (after N epochs) or progress=0.5")
    sender = read_sender(parser, argv)
    deliver(sender, "stop", {"due": parse_due(sender.args.at)} if sender.args.at else {})
    return 0
