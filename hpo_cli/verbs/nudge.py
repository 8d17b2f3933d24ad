"""`hpo-run nudge RUN lr=3e-4`: change hot knobs of a run while it trains."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Sequence

from hpo_cli.console import styles
from hpo_cli.console.output import Span, line, write, write_json
from hpo_cli.errors import UserError
from hpo_cli.steer.hot import HOT
from hpo_cli.steer.targets import parse_due
from hpo_cli.verbs.sending import Sender, deliver, read_sender, require_live, steering_parser

ABOUT = "Change hot knobs of a run at its next step, and print what the live system then says they are."


def main(argv: Sequence[str]) -> int:
    """Check the words, send them, print the answer. Raises UserError."""
    parser = steering_parser("nudge", about=ABOUT, usage="RUN key=value [key*=0.9 key/=3 key+=20 ...]")
    parser.add_argument("--at", metavar="WHEN", help="later: step=N, epoch=N (after N epochs) or progress=0.5")
    parser.add_argument("--cancel", metavar="ID", help="take back what waits for its time, by its id or the end of it")
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = _table()
    sender = read_sender(parser, argv, most=None)
    if sender.args.cancel:
        return _cancel(sender)
    if not sender.words:
        raise UserError(f"hpo-run nudge {sender.ref}: nothing to change; add key=value, --help lists the keys")
    due = {"due": parse_due(sender.args.at)} if sender.args.at else {}
    require_live(sender)
    from hpo_cli.verbs.nudging import checked_changes, unchanged

    changes = checked_changes(sender.folder, sender.words, ref=shlex.quote(sender.ref))
    same = {} if due else unchanged(sender.folder, changes)
    changes = {key: change for key, change in changes.items() if key not in same}
    if not changes:
        return _nothing_sent(sender, list(same.values()))
    if same and not sender.args.json:
        write([line(text) for text in same.values()])
    ack = deliver(sender, "nudge", {"changes": changes, **due})
    if ack and due and not sender.args.json:
        write(
            [
                line(
                    Span(f"hpo-run nudge {shlex.quote(sender.ref)} --cancel {ack['id'][-8:]}", styles.TITLE),
                    " undoes it",
                )
            ]
        )
    return 0


def _nothing_sent(sender: Sender, said: Sequence[str]) -> int:
    """All is so already."""
    if sender.args.json:
        write_json({"ok": True, "said": list(said), "knobs": {}})
    else:
        write([line(f"{text}; nothing was sent") for text in said])
    return 0


def _cancel(sender: Sender) -> int:
    if sender.words or sender.args.at:
        raise UserError("hpo-run nudge --cancel: takes back one nudge; leave other words and --at out")
    deliver(sender, "cancel", {"scheduled": sender.args.cancel})
    return 0


def _table() -> str:
    rows = [
        *HOT.items(),
        ("schedule.KEY", "a key of the schedule that runs"),
        ("loss.terms.NAME.weight", "a term's weight"),
    ]
    return "hot knobs:\n" + "\n".join(f"  {key:32} {about}" for key, about in rows)
