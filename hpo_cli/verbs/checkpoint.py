"""`hpo-run checkpoint RUN --tag good`: save a run's state now and keep it."""

from __future__ import annotations

from collections.abc import Sequence

from hpo_cli.errors import UserError
from hpo_cli.steer.shapes import TAG
from hpo_cli.verbs.sending import deliver, read_sender, steering_parser


def main(argv: Sequence[str]) -> int:
    """Send it and print the answer. Raises UserError."""
    parser = steering_parser("checkpoint", about="Save a run's state at its next step and keep it for ever.")
    parser.add_argument("--tag", metavar="NAME", help="a name to find it by: rollback RUN --to tag=NAME")
    sender = read_sender(parser, argv)
    tag = sender.args.tag
    if tag is not None and not TAG.fullmatch(tag):
        raise UserError(f"--tag {tag}: must be one plain name (letters, digits, . _ + -, at most 64); try --tag good")
    deliver(sender, "checkpoint", {} if tag is None else {"tag": tag})
    return 0
