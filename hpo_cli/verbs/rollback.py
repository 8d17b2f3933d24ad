"""`hpo-run rollback RUN --to step=1200`: take a live run back, curve and all."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from hpo_cli.errors import UserError
from hpo_cli.record.contents import count, mapping
from hpo_cli.record.lease_file import read_lease
from hpo_cli.record.ledger import fold, read_ledger
from hpo_cli.record.metrics import number
from hpo_cli.steer.current import current_line
from hpo_cli.steer.targets import TARGET_HELP, check_tag, parse_target, resolve_target
from hpo_cli.verbs.arguments import whole_number
from hpo_cli.verbs.sending import Sender, deliver, read_sender, require_live, steering_parser

_SLACK_S = 60.0  # how much further a run may be than it last said: a lease is written every few seconds
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
    _check_reach(to, sender)
    deliver(sender, "rollback", {"to": to, "skip_batches": sender.args.skip_data, "changes": _changes(sender, ref)})
    return 0


def _check_reach(to: Mapping[str, Any], sender: Sender) -> None:
    """Refuse what lies before the run's start, wherever the run is by now. Raises UserError."""
    lease = read_lease(sender.folder)
    told = count(lease.fields.get("step")) if lease else None
    if told is None or lease is None or not {"step", "back"} & set(to):
        return
    since = math.ceil((lease.age_s + _SLACK_S) * (number(lease.fields.get("steps_per_second")) or 0.0))
    position = max(told + since, to.get("step", 0))
    started = mapping(fold(read_ledger(sender.folder).events).started)
    start_step = count(mapping(started.get("parent")).get("step")) or 0
    line = current_line(sender.folder)
    resolve_target(to, line=line, rows=[], position_step=position, objective=None, start_step=start_step)


def _changes(sender: Sender, ref: str) -> dict[str, Any]:
    if not sender.words:
        return {}
    from hpo_cli.verbs.nudging import checked_changes

    return checked_changes(sender.folder, sender.words, ref=ref)
