"""`hpo-run rollback RUN --to step=1200`: take a live run back, curve and all."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Any

from hpo_cli.errors import UserError
from hpo_cli.steer.current import current_line
from hpo_cli.steer.targets import TARGET_HELP, check_tag, parse_target
from hpo_cli.verbs.arguments import whole_number
from hpo_cli.verbs.sending import Sender, deliver, read_sender, require_live, steering_parser

ABOUT = "Take a live run back to an earlier step. What came later stays in its files, marked as abandoned."


def main(argv: Sequence[str]) -> int:
    """Check the words, send them, print the answer. Raises UserError."""
    parser = steering_parser("rollback", about=ABOUT, usage="RUN --to step=1200 [key=value ...]")
    parser.add_argument("--to", metavar="PLACE", help=TARGET_HELP)
    parser.add_argument(
        "--skip-data", metavar="N", type=whole_number, default=0, help="leave out the next N batches, which broke it"
    )
    sender = read_sender(parser, argv, most=None)
    ref = shlex.quote(sender.ref)
    if sender.args.to is None:
        raise UserError(f"hpo-run rollback: where to? add --to {TARGET_HELP}: hpo-run rollback {ref} --to best")
    to = parse_target(sender.args.to)
    if to == {"back": 0}:
        raise UserError(f"--to {sender.args.to}: the run is there; write --to {TARGET_HELP}")
    require_live(sender)
    check_tag(to, current_line(sender.folder))
    deliver(sender, "rollback", {"to": to, "skip_batches": sender.args.skip_data, "changes": _changes(sender, ref)})
    return 0


def _changes(sender: Sender, ref: str) -> dict[str, Any]:
    if not sender.words:
        return {}
    from hpo_cli.verbs.nudging import checked_changes

    return checked_changes(sender.folder, sender.words, ref=ref)
