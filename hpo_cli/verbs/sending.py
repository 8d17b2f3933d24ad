"""What the steering verbs share: find the live run, send it a command, wait for what it answers."""

from __future__ import annotations

import argparse
import shlex
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hpo_cli.console import styles
from hpo_cli.console.output import Span, line, write, write_json
from hpo_cli.errors import RunFailedError, UserError
from hpo_cli.record.contents import count
from hpo_cli.record.lease_file import LeaseState, read_lease
from hpo_cli.record.ledger import Event, read_ledger
from hpo_cli.record.runs import find_run, read_run
from hpo_cli.steer.answers import answer_lines
from hpo_cli.steer.commands import send, wait_for_ack, withdraw
from hpo_cli.verbs.arguments import Parser, reading_parser

_SOON_S = 1.0
"""After so long without an answer a person is told what is waited for, and the run is looked at again."""
_LATE_S = 0.3
"""How long a run may need to answer what it took just before it was withdrawn."""

_QUIET_S = 60.0
"""A run on another machine that has shown no sign of life for so long may be gone."""


@dataclass(frozen=True)
class Sender:
    """Who sends what where. ref: the run as it was typed; words: all other words without a dash."""

    ref: str
    folder: Path
    words: tuple[str, ...]
    args: argparse.Namespace


def steering_parser(verb: str, *, about: str, usage: str = "RUN") -> Parser:
    """A parser with what every steering verb has. usage: the words without a dash."""
    parser = reading_parser(verb, about=about)
    parser.usage = f"{parser.prog} {usage} [options]"
    parser.add_argument("--why", metavar="TEXT", default="", help="kept in the run's ledger")
    parser.add_argument(
        "--timeout", metavar="S", type=seconds, default=60.0, help="how long to wait for the answer (default: 60)"
    )
    parser.add_argument("--no-wait", action="store_true", help="send it and print its id, without waiting")
    return parser


def read_sender(parser: Parser, argv: Sequence[str], *, most: int | None = 0) -> Sender:
    """The run and the words that `argv` names, whether or not the run is live.

    most: how many words may follow the run; None: any number. Raises UserError.
    """
    args, rest = parser.parse_known_args(list(argv))
    words = [word for word in rest if not word.startswith("-")]
    if len(words) < len(rest):
        parser.read([word for word in rest if word.startswith("-")])
    ref, *others = words or [""]
    if not ref or ("=" in ref and not Path(ref).exists()):
        again = shlex.join([*parser.prog.split(), "last", *argv])
        raise UserError(f"{parser.prog}: which run? name it first, `last` is the newest: {again}")
    if most is not None and len(others) > most:
        raise UserError(f"{others[most]}: {parser.prog} takes no such word; `{parser.prog} --help` lists what it takes")
    return Sender(ref, find_run(ref, args.outputs), tuple(others), args)


def require_live(sender: Sender) -> None:
    """Raises RunFailedError where no process trains the run, with what can be done with it instead."""
    lease = read_lease(sender.folder)
    if lease is None or lease.standing in ("dead", "released"):
        raise RunFailedError(_not_live(sender, lease))


def deliver(sender: Sender, verb: str, arguments: Mapping[str, Any]) -> dict[str, Any] | None:
    """Send a command, wait for its answer and print it; None with --no-wait.

    Raises RunFailedError where the run refuses, ends or does not answer.
    """
    require_live(sender)
    name = send(sender.folder, verb, arguments, why=sender.args.why)
    if sender.args.no_wait:
        write_json({"id": name}) if sender.args.json else write([line(f"sent {name}")])
        return None
    try:
        ack = _answer(sender, name)
    except KeyboardInterrupt:
        _say(_taken_back(sender, name))
        raise
    if sender.args.json:
        write_json(_as_recorded(sender.folder, ack))
    if ack["ok"] is not True:
        raise RunFailedError("\n".join(f"{sender.ref}: {text}" for text in answer_lines(ack)))
    if not sender.args.json:
        write([line(text) for text in answer_lines(ack)])
    return ack


def _as_recorded(folder: Path, ack: dict[str, Any]) -> dict[str, Any]:
    """An answer with the step at which the nudge took force, which is the one before it was answered."""
    event = next((one for one in _events(folder) if one.get("id") == ack.get("id") and one["event"] == "nudged"), None)
    return ack if event is None else ack | {"step": event["step"]}


def _answer(sender: Sender, name: str) -> dict[str, Any]:
    deadline = time.monotonic() + sender.args.timeout
    told = False
    while (left := deadline - time.monotonic()) > 0:
        if (ack := wait_for_ack(sender.folder, name, min(_SOON_S, left))) is not None:
            return ack
        lease = read_lease(sender.folder)
        if lease is None or lease.standing in ("dead", "released"):
            break
        if not told and time.monotonic() < deadline:
            _say(f"waiting for {sender.ref} to answer{_at_what(lease)}{_sign_of_life(lease)}; Ctrl-C takes it back")
            told = True
    if (ack := wait_for_ack(sender.folder, name, 0)) is not None:
        return ack
    return _no_answer(sender, name)


def _no_answer(sender: Sender, name: str) -> dict[str, Any]:
    taken_back = _taken_back(sender, name)
    if (ack := wait_for_ack(sender.folder, name, 0)) is not None:
        return ack
    lease = read_lease(sender.folder)
    if lease is None or lease.standing in ("dead", "released"):
        raise RunFailedError(f"{_not_live(sender, lease)}; {taken_back}")
    waited = f"no answer within {sender.args.timeout:g} s{_sign_of_life(lease)}"
    raise RunFailedError(f"{sender.ref}: {waited}; {taken_back}; --timeout waits longer")


def _taken_back(sender: Sender, name: str) -> str:
    """Withdraw a command; what came of that. A command lies in the inbox until it is answered, in force or not."""
    withdrawn = withdraw(sender.folder, name)
    came = wait_for_ack(sender.folder, name, _LATE_S) is not None or _is_recorded(sender.folder, name)
    if came or not withdrawn:
        return f"the command was taken already: hpo-run show {shlex.quote(sender.ref)}"
    return "the command was taken back"


def _is_recorded(folder: Path, name: str) -> bool:
    return any(name in (event.get("id"), event.get("command")) for event in _events(folder))


def _events(folder: Path) -> Sequence[Event]:
    try:
        return read_ledger(folder).events
    except OSError:
        return ()


def _not_live(sender: Sender, lease: LeaseState | None) -> str:
    """What a run without a process is, and what can be done with it."""
    status = read_run(sender.folder).status
    ref = shlex.quote(sender.ref)
    words = "".join(f" {_as_override(word)}" for word in sender.words)
    place = f" --at {shlex.quote(sender.args.to)}" if getattr(sender.args, "to", None) else ""
    asked = "" if place else "".join(f" {shlex.quote(word)}" for word in sender.words)
    on, child = f"`hpo-run resume={ref}{asked}` goes on", f"`hpo-run branch {ref}{place}{words}` makes a child"
    if place:
        child += " there"
    if status in ("running", "running?") and lease is None:
        return f"{sender.ref}: does not listen yet; try again in a moment, or see hpo-run show {ref}"
    if status == "damaged":
        return f"{sender.ref}: is damaged and does not train; see hpo-run show {ref}"
    if status == "finished":
        longer = f"`hpo-run resume={ref}{_made_longer(asked)}` goes on, " if asked else ""
        return f"{sender.ref}: has finished and cannot be steered; {longer}{child}"
    if status == "not started":
        return f"{sender.ref}: has not been started; `hpo-run resume={ref}{asked}` starts it"
    words_of = {"failed": "has failed", "interrupted": "was interrupted", "stopped": "was stopped"}
    died = "has died (its process is gone)"
    answer = f"{sender.ref}: {words_of.get(status, died)} and cannot be steered"
    return f"{answer}; {on}, {child}"


def _made_longer(words: str) -> str:
    """Words with which a run that has finished can go on."""
    is_longer = any(word.startswith(("epochs", "trainer.max_steps")) for word in words.split())
    return words if is_longer else f"{words} epochs+=10"


def _as_override(word: str) -> str:
    """A nudge as commands have it that start from the run's end and know no `lr*=0.9`."""
    key, equals, value = word.partition("=")
    return f"{key[:-1]}=..." if key[-1:] in ("*", "/", "+", "-") else shlex.quote(f"{key}{equals}{value}")


def _at_what(lease: LeaseState) -> str:
    """When the run will answer: it takes no command before it is where a rollback or a resume brings it."""
    goal, step = count(lease.fields.get("catching_up")), count(lease.fields.get("step"))
    if goal is None:
        return " at its next step"
    return f", which is going back to step {goal}{'' if step is None else f': at step {step}'}"


def _sign_of_life(lease: LeaseState) -> str:
    if lease.standing != "unknown" or lease.age_s < _QUIET_S:
        return ", it is paused" if lease.is_paused else ""
    return f" (no sign of life from {lease.holder.host or 'it'} for {lease.age_s:.0f} s)"


def _say(text: str) -> None:
    write([line(Span(text, styles.QUIET))], sys.stderr)


def seconds(word: str) -> float:
    """A number of seconds, 0 or more. Raises what argparse turns into an error."""
    try:
        found = float(word)
    except ValueError:
        found = -1.0
    if not 0 <= found <= 1e9:  # noqa: PLR2004 - thirty years
        raise argparse.ArgumentTypeError(f"{word}: must be a number of seconds")
    return found
