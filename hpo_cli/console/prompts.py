"""What the keys of the screen mean: a small machine from one prompt to the next. It reads and writes nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from hpo_cli.console.output import Span, line
from hpo_cli.console.styles import BAD, GOOD
from hpo_cli.errors import UserError

if TYPE_CHECKING:
    from hpo_cli.console.output import Line

Do = Literal["nothing", "quit", "zoom in", "zoom out", "send"]


@dataclass(frozen=True)
class Intent:
    """A command that is ready to be sent. says: what it will do, for the question."""

    verb: str
    args: Mapping[str, Any]
    says: str


Prepare = Callable[[str, str], Intent]
"""(verb, what was typed) -> the command. Raises UserError where there is none."""


@dataclass(frozen=True)
class Prompt:
    """What the bottom of the screen asks. intent: set while it asks for a yes."""

    mode: Literal["idle", "typing", "asking", "help"] = "idle"
    verb: str = ""
    typed: str = ""
    intent: Intent | None = None
    news: Line = ()


@dataclass(frozen=True)
class Step:
    """The next prompt, and what is to be done now."""

    prompt: Prompt
    do: Do = "nothing"


@dataclass(frozen=True)
class _Key:
    verb: str
    label: str
    asks: str = ""
    hint: str = ""


_COMMANDS = {
    "n": _Key("nudge", "nudge", "nudge", "such as  lr/=3  or  regularization.dropout=0.2"),
    "p": _Key("pause", "pause"),
    "t": _Key("checkpoint", "tag", "save this state as", "a name, or nothing"),
    "r": _Key("rollback", "roll back", "roll back to", "step=N  epoch=N  tag=NAME  best  -500"),
    "s": _Key("stop", "stop"),
}
_VIEW = (("+/-", "zoom"), ("?", "help"), ("q", "quit"))
_KEY = "bold bright_cyan"
LONGEST_TYPED = 200

HELP = (
    ("n", "change hot knobs: lr=3e-4  lr/=3  epochs+=20  schedule=cosine ..."),
    ("p", "pause training between two steps; p again lets it go on"),
    ("t", "save the state now and keep it, under a name if you give one"),
    ("r", "go back to step=1200, epoch=3, tag=good, best, or 500 steps: -500"),
    ("s", "save the state and end the run well; hpo-run resume=ID goes on from there"),
    ("+ -", "look at the newest half, quarter, ... of the curves, or at more of them"),
    ("q", "leave; training goes on"),
)


def press(prompt: Prompt, key: str, *, prepare: Prepare, ended: str = "") -> Step:
    """What a key does. key: a character, or `enter`, `esc`, `backspace`, `clear`.

    ended: why no command can be sent any more, empty while one can.
    """
    if prompt.mode == "typing":
        return _typing(prompt, key, prepare)
    if prompt.mode == "asking":
        return _asking(prompt, key)
    if prompt.mode == "help" and key != "q":
        return Step(Prompt())
    return _idle(prompt, key, prepare, ended)


def _idle(prompt: Prompt, key: str, prepare: Prepare, ended: str) -> Step:
    plain: dict[str, Do] = {"q": "quit", "+": "zoom in", "=": "zoom in", "-": "zoom out"}
    if key in plain:
        return Step(prompt, plain[key])
    if key in ("?", "h"):
        return Step(Prompt(mode="help"))
    if key == "esc":
        return Step(Prompt())
    command = _COMMANDS.get(key)
    if command is None:
        return Step(prompt)
    if ended:
        return Step(Prompt(news=line(ended)))
    start = Prompt(mode="typing", verb=command.verb)
    return Step(start) if command.asks else _prepared(start, prepare)


def _typing(prompt: Prompt, key: str, prepare: Prepare) -> Step:
    typed = prompt.typed
    if key == "esc":
        return Step(Prompt())
    if key == "enter":
        return _prepared(prompt, prepare)
    if key == "backspace":
        return Step(replace(prompt, typed=typed[:-1], news=()))
    if key == "clear":
        return Step(replace(prompt, typed="", news=()))
    is_letter = len(key) == 1 and key.isprintable() and len(typed) < LONGEST_TYPED
    return Step(replace(prompt, typed=typed + key, news=())) if is_letter else Step(prompt)


def _prepared(prompt: Prompt, prepare: Prepare) -> Step:
    if prompt.verb in ("nudge", "rollback") and not prompt.typed.strip():
        return Step(Prompt())
    try:
        intent = prepare(prompt.verb, prompt.typed.strip())
    except UserError as error:
        back = prompt if prompt.verb in ("nudge", "rollback", "checkpoint") else Prompt()
        return Step(replace(back, news=refusal(str(error))))
    return Step(Prompt(mode="asking", verb=prompt.verb, typed=prompt.typed, intent=intent))


def _asking(prompt: Prompt, key: str) -> Step:
    if key in ("y", "Y"):
        return Step(prompt, "send")
    if key in ("n", "N", "esc", "q"):
        return Step(Prompt(news=line(Span("nothing was sent", "dim"))))
    return Step(prompt)


def refusal(text: str) -> Line:
    """News of something that was not done; its lines on one."""
    return line(Span("refused  ", f"bold {BAD}"), "; ".join(text.splitlines()))


def success(text: str) -> Line:
    """News of something that was done."""
    return line(Span("done  ", f"bold {GOOD}"), text)


def said(prompt: Prompt) -> Line:
    """The line above the keys: the question, what was typed, or the news."""
    if prompt.mode == "typing":
        asks = _key_of(prompt.verb).asks
        news = [Span("   "), *prompt.news] if prompt.news else []
        return line(" ", Span(f"{asks}  ", "bold"), prompt.typed, Span("▏", "bold"), *news)
    if prompt.mode == "asking" and prompt.intent:
        return line(" ", Span(f"{prompt.intent.says} ? ", "bold"), Span("(y/n)", "bold yellow"))
    return line(" ", *prompt.news) if prompt.news else ()


def keys(prompt: Prompt, *, paused: str = "", live: bool = True) -> Line:
    """The last line: which keys do what now. paused: the word for `p`, when it is another."""
    if prompt.mode == "typing":
        hint = _key_of(prompt.verb).hint
        return (*_row({"enter": "go on", "esc": "leave it"}), Span(f" {hint}", "dim"))
    if prompt.mode == "asking":
        return _row({"y": "yes, send it", "n": "no"})
    if prompt.mode == "help":
        return _row({"any key": "back to the curves"})
    commands = {key: paused if key == "p" and paused else command.label for key, command in _COMMANDS.items()}
    return (*_row(commands, style="" if live else "dim"), *_row(dict(_VIEW)))


def help_page() -> list[Line]:
    """What each key does."""
    rows = [line("  ", Span(f"{key:<5}", "bold"), what) for key, what in HELP]
    note = "Marks: n nudge, r rollback, b branch, t tag, w warning; pale: undone"
    return [line(Span(" keys", "bold")), *rows, line(), line(Span(f"  {note}", "dim"))]


def _key_of(verb: str) -> _Key:
    return next(key for key in _COMMANDS.values() if key.verb == verb)


def _row(of: Mapping[str, str], *, style: str = "") -> Line:
    spans: list[Span] = []
    for key, what in of.items():
        spans += [Span(f" {key}", style or _KEY), Span(f" {what} ", style)]
    return tuple(spans)
