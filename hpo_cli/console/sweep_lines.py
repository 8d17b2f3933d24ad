"""What happens in a sweep, one line a trial."""

from __future__ import annotations

from hpo_cli.console import styles
from hpo_cli.console.figures import duration, figure
from hpo_cli.console.output import Line, Span, line
from hpo_cli.console.setting_words import setting_words
from hpo_cli.console.tables import one_line
from hpo_cli.sweep.fold import SweepState
from hpo_cli.sweep.members import Phase
from hpo_cli.sweep.sizes import known_total
from hpo_cli.sweep.standings import plural, standing_word
from hpo_cli.sweep.state import Trial
from hpo_cli.sweep.tally import News

_STYLE = {"failed": styles.BAD, "lost": "yellow", "stopped": "yellow", "paused": styles.QUIET}
_NOT_FINITE = "not finite"


def trial_line(state: SweepState, news: News) -> Line:
    """`trial 7  val/accuracy 0.9771  lr=0.003  20 epochs, 4.1 s  best so far`."""
    trial = news.trial
    if news.what == "lost":
        again = f"tried again ({sum(run.lost for run in trial.runs)} of {state.settings.retries})"
        lost = Span("  lost  ", _STYLE["lost"])
        return line(*_head(state, trial, "lost"), lost, _setting(state, trial), _why(trial, "yellow"), f"; {again}")
    value = Span(_values(state, trial), styles.WINNER if news.is_best else "")
    parts: list[str | Span] = [
        *_head(state, trial, news.what),
        "  ",
        value,
        "  ",
        _setting(state, trial),
        "  ",
        _took(trial),
    ]
    if news.what == "paused":
        where = f"  {standing_word('paused', state)}, epoch {trial.epoch}/{state.epochs}"
        parts += [Span(where, styles.QUIET)]
    if news.what in ("failed", "stopped"):
        parts += [Span(f"  {news.what}", _STYLE[news.what]), _why(trial, _STYLE[news.what])]
    if news.is_best:
        parts += [Span("  best so far", styles.WINNER)]
    return line(*parts)


def failure_line(state: SweepState, trial: Trial) -> Line:
    """`trial 7 failed  lr=3  train/loss was nan at step 12`."""
    what = Span("failed", f"bold {styles.BAD}")
    return line(Span(f"trial {trial.number} "), what, "  ", _setting(state, trial), _why(trial, styles.BAD))


def best_line(state: SweepState, trial: Trial) -> Line:
    """`best so far  val/accuracy 0.9771  trial 7  lr=0.003`."""
    value = Span(_values(state, trial), styles.WINNER)
    return line(Span("best so far  ", styles.QUIET), value, f"  trial {trial.number}  ", _setting(state, trial))


def adopted_line(state: SweepState, number: int, phase: Phase) -> Line:
    """`trial 2 takes over trial 5 at epoch 3: lr=0.0103`."""
    who = f"trial {number} takes over trial {phase.source} at epoch {phase.epoch}"
    knobs = setting_words(phase.changes, state.space.keys) if phase.changes else "the same knobs"
    return line(Span(f"{who}: ", styles.QUIET), knobs)


def first_line(text: str) -> str:
    """The first line of a reason that has any letters."""
    lines = [part.strip() for part in text.splitlines() if part.strip()]
    return one_line(lines[0]) if lines else ""


def reason_of(trial: Trial) -> str:
    """Why a trial was stopped or failed, in one line."""
    return first_line(trial.why) or next((said for run in trial.runs if (said := first_line(run.reason))), "")


def _head(state: SweepState, trial: Trial, what: str) -> list[Span]:
    width = len(str(known_total(state) or max(999, len(state.trials))))
    return [Span(f"trial {trial.number:{width}}", _STYLE.get(what, ""))]


def _values(state: SweepState, trial: Trial) -> str:
    values = trial.values or (None,) * len(state.aims)
    named = zip(state.aims, values, strict=False)
    return "  ".join(
        f"{aim.name} {_NOT_FINITE if value is None else figure(value):<6}".rstrip() for aim, value in named
    )


def _setting(state: SweepState, trial: Trial) -> Span:
    return Span(setting_words(trial.setting, state.space.keys))


def _took(trial: Trial) -> Span:
    return Span(f"{plural(trial.epoch, 'epoch')}, {duration(trial.seconds)}", styles.QUIET)


def _why(trial: Trial, style: str) -> Span:
    reason = reason_of(trial)
    return Span(f": {reason}" if reason else "", style)
