"""`hpo-run watch RUN`: a run on a full screen while it trains, with keys to steer it."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING

from hpo_cli.console import output
from hpo_cli.console.dashboard import Room, View, plain_frame
from hpo_cli.console.screen import TerminatedError, can_take_over, screen
from hpo_cli.record.runs import find_run
from hpo_cli.verbs.arguments import RUN_HELP, reading_parser
from hpo_cli.verbs.watch_desk import Desk
from hpo_cli.verbs.watch_feed import Feed

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from hpo_cli.console.screen import Screen
    from hpo_cli.record.contents import Values

REFRESH_S = 0.5
_OWN = ("traces", "knobs", "happenings", "waits")


def main(argv: Sequence[str]) -> int:
    """Show a run until `q`; one frame of plain text where there is no terminal. Raises UserError."""
    parser = reading_parser("watch", about="Show a run on a full screen while it trains; keys steer it, ? lists them.")
    parser.add_argument("run", metavar="RUN", nargs="?", default="last", help=f"{RUN_HELP} (default: last)")
    parser.add_argument("--once", action="store_true", help="print one frame and leave, as in a pipe")
    args = parser.read(argv)
    folder = find_run(args.run, args.outputs)
    if args.json:
        output.write_json(_as_json(Feed(folder).view()))
        return 0
    if args.once or not can_take_over():
        show_once(folder)
        return 0
    return watch(folder)


def show_once(folder: Path) -> None:
    """Print one frame."""
    size = output.size()
    room = Room(size.columns, size.lines - 1, output.can_draw(), output.is_coloured())
    output.write(plain_frame(Feed(folder).view(), room))


def watch(folder: Path) -> int:
    """Show a run in this terminal until somebody leaves; the exit code: 0, or 128 + n after a signal."""
    try:
        with screen() as shown:
            _run(shown, Desk(Feed(folder)))
    except EOFError:
        return 0
    except TerminatedError as error:
        return 128 + error.signum
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    return 0


def _run(shown: Screen, desk: Desk) -> None:
    """Draw and read keys until `q`. The folder is read at most every REFRESH_S; a key is answered at once."""
    due = 0.0
    while not desk.is_closed:
        now = time.monotonic()
        if now >= due:
            desk.look()
            due = now + REFRESH_S
        shown.draw(desk.lines(Room(*shown.size, shown.draws, shown.colours)))
        for key in shown.keys(max(0.0, due - time.monotonic())):
            desk.press(key)


def _as_json(view: View) -> Values:
    plain = {
        name: value for name, value in vars(view).items() if name not in ("traces", "knobs", "happenings", "waits")
    }
    last = {name: trace.last for name, trace in view.traces.items()}
    happened = [vars(one) for one in view.happenings]
    waiting = [vars(one) for one in view.waits]
    knobs = [vars(knob) for knob in view.knobs]
    return {**plain, "last": last, "knobs": knobs, "waits": waiting, "happenings": happened}
