"""`hpo-run sweep SWEEP workers=4 trials+=20 ...`: change a sweep while it runs, or see where it stands."""

from __future__ import annotations

import argparse
import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpo_cli.console import styles
from hpo_cli.console.output import Span, line, write, write_json
from hpo_cli.errors import RunFailedError, UserError
from hpo_cli.record.sweeps import find_sweep, read_sweep_record
from hpo_cli.steer.answers import answer_lines
from hpo_cli.steer.commands import wait_for_ack, who_am_i, withdraw
from hpo_cli.sweep.edits import EDITABLE, revised
from hpo_cli.sweep.fold import read_sweep
from hpo_cli.verbs.arguments import Parser, reading_parser
from hpo_cli.verbs.sending import seconds

if TYPE_CHECKING:
    from hpo_cli.sweep.fold import SweepState

SWEEP_HELP = "a path, a sweep's id or the beginning of one, or last"
_SOON_S = 2.0
_DRIVEN = ("running", "paused", "running?")


def main(argv: Sequence[str]) -> int:
    """Show a sweep, or carry the words out. Raises UserError."""
    parser = _parser()
    args, rest = parser.parse_known_args(list(argv))
    words = [word for word in rest if not word.startswith("-")]
    if len(words) < len(rest):
        parser.read([word for word in rest if word.startswith("-")])
    ref, *edits = words or ["last"]
    if "=" in ref and not Path(ref).exists():
        again = shlex.join(["hpo-run", "sweep", "last", *argv])
        raise UserError(f"hpo-run sweep: which sweep? name it first, `last` is the newest: {again}")
    folder = find_sweep(ref, args.outputs)
    if not edits:
        from hpo_cli.verbs.show_sweep import show_sweep

        return show_sweep(folder, outputs=args.outputs, form="json" if args.json else "page")
    return _edit(folder, edits, args)


def _parser() -> Parser:
    parser = reading_parser("sweep", about="Change a sweep while it runs; without changes: where it stands.")
    parser.usage = (
        "hpo-run sweep SWEEP [workers=4 trials+=20 lr=interval(1e-4,1e-2) ban:optimizer=sgd pause ...] [options]"
    )
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = _HELP
    parser.add_argument("--why", metavar="TEXT", default="", help="kept in the sweep's log")
    parser.add_argument(
        "--timeout", metavar="S", type=seconds, default=60.0, help="how long to wait for the answer (60)"
    )
    parser.add_argument("--no-wait", action="store_true", help="send it and print its id, without waiting")
    return parser


def _edit(folder: Path, words: Sequence[str], args: argparse.Namespace) -> int:
    state = read_sweep(folder)
    revised(words, state)  # what is wrong is told at once, and nothing is sent
    if read_sweep_record(folder).status not in _DRIVEN:
        return _write(folder, words, args)
    from hpo_cli.sweep.editing import send_edit

    name = send_edit(folder, words, why=args.why)
    if args.no_wait:
        write_json({"id": name}) if args.json else write([line(f"sent {name}")])
        return 0
    ack = _answer(folder, name, timeout_s=args.timeout)
    if ack is None:
        return _write(folder, words, args)
    if ack["ok"] is not True:
        raise RunFailedError("\n".join(f"{folder.name}: {text}" for text in answer_lines(ack)))
    if args.json:
        write_json(ack)
    else:
        write([line(text) for text in answer_lines(ack)])
    return 0


def _answer(folder: Path, name: str, *, timeout_s: float) -> dict[str, Any] | None:
    """What whoever drives the sweep says; None where nobody drives it any more, and the command was taken back.

    Raises RunFailedError when no answer comes in time.
    """
    deadline, told = time.monotonic() + timeout_s, False
    while (left := deadline - time.monotonic()) > 0:
        if (ack := wait_for_ack(folder, name, min(_SOON_S, left))) is not None:
            return ack
        if read_sweep_record(folder).status not in _DRIVEN:
            if withdraw(folder, name):
                return None
            break
        if not told and time.monotonic() < deadline:
            write([line(Span(f"waiting for {folder.name} to answer", styles.QUIET))], sys.stderr)
            told = True
    taken_back = withdraw(folder, name)
    if (ack := wait_for_ack(folder, name, 0)) is not None:
        return ack
    what = "the change was taken back" if taken_back else f"it was taken already: hpo-run show {folder.name}"
    raise RunFailedError(f"{folder.name}: no answer within {timeout_s:g} s; {what}; --timeout waits longer")


def _write(folder: Path, words: Sequence[str], args: argparse.Namespace) -> int:
    """Into the log at once: nobody drives the sweep."""
    from hpo_cli.sweep.begin import open_sweep
    from hpo_cli.sweep.editing import told, write_edit

    if "stop" in words:
        raise UserError(f"{folder.name}: nobody drives it, there is nothing to stop; hpo-run sweep {folder.name}")
    state, log = open_sweep(folder)
    with log.locked():
        state.replay(log.news())
        outcome = write_edit(state, log, words, who=who_am_i(), why=" ".join(args.why.split()))
    said = [*told(outcome), f"nobody drives it now: it counts when it goes on: hpo-run -m sweep.resume={_ref(state)}"]
    if args.json:
        write_json({"ok": True, "said": said})
    else:
        write([line(text) for text in said])
    return 0


def _ref(state: SweepState) -> str:
    from hpo_cli.console.sweep_end import reference

    return shlex.quote(reference(state))


_HELP = f"""changes:
  workers=4 trials+=20 minutes=90 ...   {", ".join(EDITABLE)}; = += -= *= /=
  lr=interval(1e-4,1e-2)                search within these ends from now on
  optimizer=adam,sgd                    only these values from now on
  ban:optimizer=sgd                     this value no more
  pause, unpause                        no trial begins until unpause; running ones go on
  stop                                  end the sweep; running trials save their state"""
