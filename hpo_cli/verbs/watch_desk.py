"""Whoever watches a run: what the keys ask for, what was sent, and what came back."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from hpo_cli.console.dashboard import Room, View, frame
from hpo_cli.console.output import Span, line
from hpo_cli.console.prompts import Intent, Prompt, help_page, keys, press, refusal, said, success
from hpo_cli.errors import UserError
from hpo_cli.steer.answers import answer_lines
from hpo_cli.steer.commands import read_ack, send, withdraw
from hpo_cli.verbs.watch_intents import prepared, warm_up

if TYPE_CHECKING:
    from hpo_cli.console.output import Line
    from hpo_cli.record.contents import Values
    from hpo_cli.verbs.watch_feed import Feed

_MOST_ZOOM = 12
_PATIENCE_S = 1.0  # before which a wait is not worth a word


@dataclass(frozen=True)
class _Sent:
    id: str
    intent: Intent
    since: float


class Desk:
    """Keys go in with `press`, the state of the run with `look`, the screen comes out with `lines`."""

    def __init__(self, feed: Feed) -> None:
        self._feed = feed
        self._view: View = feed.view()
        self._prompt, self._zoom = Prompt(), 0
        self._waiting: list[_Sent] = []
        self.is_closed = False

    def look(self) -> None:
        """Read what is new of the run, and the answers to what was sent."""
        self._view = self._feed.view()
        for sent in list(self._waiting):
            answer = read_ack(self._feed.folder, sent.id)
            if answer is not None:
                self._waiting.remove(sent)
                self._tell(_answered(answer, sent.intent))
            elif not self._view.is_live:
                self._waiting.remove(sent)
                withdraw(self._feed.folder, sent.id)
                self._tell(refusal(f"{sent.intent.verb}: the run ended before it answered"))

    def press(self, key: str) -> None:
        """Take one key."""
        if key in ("n", "r") and self._prompt.mode == "idle":
            warm_up()
        step = press(self._prompt, key, prepare=self._prepare, ended=self._ended())
        self._prompt = step.prompt
        match step.do:
            case "quit":
                self.is_closed = True
            case "zoom in":
                self._zoom = min(_MOST_ZOOM, self._zoom + 1)
            case "zoom out":
                self._zoom = max(0, self._zoom - 1)
            case "send":
                self._send()

    def lines(self, room: Room) -> list[Line]:
        """The whole screen."""
        page = help_page() if self._prompt.mode == "help" else ()
        view = self._view
        bar = keys(self._prompt, paused="go on" if view.status == "paused" else "", live=view.is_live)
        return frame(view, room, said=said(self._prompt) or self._wait(), keys=bar, zoom=self._zoom, page=page)

    def _prepare(self, verb: str, typed: str) -> Intent:
        if verb == "pause" and self._view.status == "paused":
            verb = "unpause"
        return prepared(verb, typed, folder=self._feed.folder, step=self._view.step)

    def _send(self) -> None:
        intent = self._prompt.intent
        self._prompt = Prompt()
        if intent is None:
            return
        if ended := self._ended():
            self._prompt = Prompt(news=line(ended))
            return
        try:
            name = send(self._feed.folder, intent.verb, intent.args)
        except UserError as error:
            self._prompt = Prompt(news=refusal(str(error)))
            return
        self._waiting.append(_Sent(name, intent, time.monotonic()))

    def _wait(self) -> Line:
        if not self._waiting:
            return ()
        sent = self._waiting[-1]
        passed = time.monotonic() - sent.since
        since = f" {passed:.0f} s" if passed > _PATIENCE_S else ""
        back = f", which is {self._view.why}" if self._view.why.startswith("going back") else ""
        return line(" ", Span(f"{sent.intent.verb} sent, waiting for the run{back}{since}", "dim"))

    def _tell(self, news: Line) -> None:
        """Put the news where they are seen, without taking away what somebody is typing."""
        self._prompt = replace(self._prompt, news=news)

    def _ended(self) -> str:
        view = self._view
        if view.is_live:
            return ""
        name = run_reference(self._feed.folder)
        if view.status == "not started":
            return f"nobody has begun to train this run: hpo-run resume={name} starts it"
        if view.status == "died":
            return f"the process of this run is gone: hpo-run resume={name} goes on where it was"
        return f"this run has ended: hpo-run resume={name} lr=... epochs=... goes on with it"


def run_reference(folder: Path) -> str:
    """How the verbs find a run: by its id where they look by default, else by its path."""
    return folder.name if Path("outputs") in folder.parents else str(folder)


def _answered(answer: Values, intent: Intent) -> Line:
    text = "; ".join(answer_lines(answer))
    return success(f"{intent.verb}  {text}") if answer["ok"] is True else refusal(f"{intent.verb}: {text}")
