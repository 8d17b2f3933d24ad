"""`hpo-run checkpoint RUN --tag good`: save a run's state now and keep it."""

from __future__ import annotations

from collections.abc import Sequence

from hpo_cli.errors import UserError
from hpo_cli.record.line import Line
from hpo_cli.steer.current import current_line
from hpo_cli.steer.shapes import TAG
from hpo_cli.steer.targets import tags
from hpo_cli.verbs.sending import Sender, deliver, read_sender, require_live, steering_parser


def main(argv: Sequence[str]) -> int:
    """Send it and print the answer. Raises UserError."""
    parser = steering_parser("checkpoint", about="Save a run's state at its next step and keep it for ever.")
    parser.add_argument("--tag", metavar="NAME", help="a name to find it by: rollback RUN --to tag=NAME")
    sender = read_sender(parser, argv)
    tag = sender.args.tag
    if tag is not None and not TAG.fullmatch(tag):
        raise UserError(f"--tag {tag}: must be one plain name (letters, digits, . _ + -, at most 64); try --tag good")
    require_live(sender)
    if tag is not None:
        _check_free(tag, sender)
    deliver(sender, "checkpoint", {} if tag is None else {"tag": tag})
    return 0


def _check_free(tag: str, sender: Sender) -> None:
    living = current_line(sender.folder)
    event = tags(living).get(tag)
    if event is None:
        return
    where = "" if any(event is one for one in living.checkpoints) else ", of a line that a rollback abandoned"
    rule = f"is taken (step {event.get('step')}{where}), and nothing saved is overwritten"
    raise UserError(f"--tag {tag}: {rule}; give another name, such as {_other(tag, living)}")


def _other(tag: str, living: Line) -> str:
    known = tags(living)
    return next(name for k in range(2, len(known) + 3) if (name := f"{tag[:60]}-{k}") not in known)
