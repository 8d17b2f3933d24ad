"""A sweep in the terminal: its leaderboard, what the lead is worth, what mattered, and the curves together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpo_cli.console import output, styles
from hpo_cli.console.bars import bar
from hpo_cli.console.figures import duration, figure
from hpo_cli.console.output import Span, line
from hpo_cli.console.plot import Curve, Frame, mark, plot
from hpo_cli.console.tables import Column, one_line, table
from hpo_cli.report.curves import curves
from hpo_cli.report.dimensions import robust_axis
from hpo_cli.report.figures import described
from hpo_cli.sweep.sizes import known_total
from hpo_cli.sweep.standings import plural

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from hpo_cli.console.output import Line
    from hpo_cli.report.curves import Curve as Course
    from hpo_cli.report.digest import Digest
    from hpo_cli.report.leaderboard import Row

_MOST_CURVES = {"coloured": 60, "plain": 3}
_ROWS = 14
_BAR = 24
_REASONS = 3
_TIER = {1: "first", 2: "second", 3: "third", None: "not in the order"}
_STATUS = {"waiting": "bright_blue"}
_INDENT = "  "


def page(found: Digest, *, top: int) -> Iterator[Line]:
    """All of it. top: rows of the leaderboard."""
    yield from heading(found)
    if not found.ranked:
        yield line(_nothing(found))
        yield from failures(found)
        yield from refused(found)
        yield from courses(found)
        return
    yield from board(found, top=top)
    yield from failures(found)
    yield from refused(found)
    yield from lead(found)
    yield from importance(found)
    yield from courses(found)
    yield line()
    yield line(Span("train  ", styles.QUIET), found.train)
    yield line(Span("panda  ", styles.QUIET), found.panda)
    yield line(Span("page   ", styles.QUIET), f"hpo-run report {found.state.id}")


def summary(found: Digest, *, top: int = 5) -> Iterator[Line]:
    """What is shown when a sweep ends; nothing where there is nothing to compare."""
    if len(found.ranked) > 1:
        yield from board(found, top=top)
        yield from lead(found)
        yield from importance(found)
        yield from courses(found)


def heading(found: Digest) -> Iterator[Line]:
    """What the sweep is and how it stands."""
    state, facts = found.state, found.summary
    num, size = len(state.trials), known_total(state)
    trials = plural(num, "trial") if size in (None, num) else f"{num} of {plural(size or 0, 'trial')}"
    yield line(
        Span("sweep  ", styles.QUIET), Span(one_line(f"{state.name} {state.id}"), styles.TITLE), "  ",
        styles.status(facts.standing),
        f"  {trials}: {found.counts}; {duration(facts.seconds)} of training",
    )  # fmt: skip


def _nothing(found: Digest) -> str:
    """Why there is nothing to compare, and what would give something."""
    state, why = found.state, one_line(found.summary.why)
    if state.trials:
        return "No trial has a value yet: nothing can be compared."
    if found.summary.standing in ("running", "paused"):
        return "No trial has begun yet."
    ended = f" ({why})" if why else ""
    return f"No trial was ever begun{ended}. hpo-run -m sweep.resume={state.id} goes on with the sweep."


def refused(found: Digest) -> Iterator[Line]:
    """The settings that no run can have, by their reasons."""
    for one in found.refused[:_REASONS]:
        such = Span(f"  {'such as ' if one.num > 1 else ''}{one_line(described(one.setting))}", styles.QUIET)
        yield line(Span("refused", styles.WAITS), f" {plural(one.num, 'setting')}: {one_line(one.reason)}", such)
    more = found.refused[_REASONS:]
    if more:
        text = f"       {plural(sum(one.num for one in more), 'setting')} more, for {plural(len(more), 'other reason')}"
        yield line(Span(text, styles.QUIET))


def board(found: Digest, *, top: int) -> Iterator[Line]:
    """The best trials, a row each, as wide as the terminal."""
    shown = found.ranked[:top]
    aims = [aim.name for aim in found.state.aims]
    has_seeds = any(row.num_runs > 1 for row in shown)
    columns = [Column("", "right"), Column("trial", "right"), *(Column(name, "right") for name in aims)]
    columns += [Column("±", "right"), Column("runs", "right")] if has_seeds else []
    columns += [Column("epochs", "right", spare=2), Column("time", "right", spare=1), Column("status")]
    columns += [Column("setting", flexible=True)]
    words = {row.trial: found.word(row.status) for row in shown}
    rows = [_row(row, words[row.trial], has_seeds=has_seeds, num_aims=len(aims)) for row in shown]
    yield from table(columns, rows, width=output.width() if output.is_styled() else None)
    if any(found.state.trial(row.trial).num_adopted for row in shown):
        yield line(Span("settings as they are now: states were taken over, and knobs changed with them", styles.QUIET))
    if len(aims) > 1:
        yield line(Span("* no other trial beats it in every aim", styles.QUIET))
    more = len(found.ranked) - len(shown)
    if more:
        yield line(Span(f"{more} more; --top {len(found.ranked)} shows all", styles.QUIET))


def failures(found: Digest) -> Iterator[Line]:
    """How many failed, and why the first of them did."""
    for row in found.failed[:_REASONS]:
        why, setting = one_line(row.why or "no reason was recorded"), one_line(described(row.setting))
        yield line(Span("failed ", styles.BAD), f"trial {row.trial}: {why}", Span(f"  {setting}", styles.QUIET))
    more = len(found.failed) - _REASONS
    if more > 0:
        yield line(Span(f"       {more} more failed; hpo-run report {found.state.id} lists them", styles.QUIET))


def lead(found: Digest) -> Iterator[Line]:
    """Whether the first is really better than the second, and what would tell."""
    if found.verdict is None:
        return
    style = styles.GOOD if found.verdict.is_clear else styles.WAITS
    yield line()
    yield line(Span("lead   ", styles.QUIET), Span(found.verdict.text, style))
    for text in found.verdict.cautions:
        yield line(Span(f"       {text}", styles.QUIET))
    for place, command in enumerate(found.seeds):
        yield line(Span("tell   " if not place else "       ", styles.QUIET), command)


def importance(found: Digest) -> Iterator[Line]:
    """A bar a hyperparameter, beside the order in which they usually matter."""
    yield line()
    yield line(
        Span("importance", styles.TITLE), Span(" of what was varied, and when it is usually tuned", styles.QUIET)
    )
    rows = found.importances.rows
    if found.importances.method != "none":
        names = [row.name for row in rows]
        longest = max(map(output.cells, names), default=0)
        most = max((row.share or 0.0 for row in rows), default=0.0) or 1.0
        for row, name in zip(rows, names, strict=True):
            drawn = bar((row.share or 0.0) / most, width=_BAR, drawn=output.can_draw())
            share = "not measured" if row.share is None else f"{100 * row.share:3.0f} %"
            room = " " * (longest - output.cells(name))
            few = f", {row.when}" if row.when else ""
            yield line(
                f"{_INDENT}{one_line(name)}{room}  ", Span(f"{drawn:{_BAR}}", "bright_cyan"), f" {share}  ",
                Span(f"{_TIER[row.tier]}{few}", styles.QUIET),
            )  # fmt: skip
    for text in found.importances.cautions:
        yield line(Span(_INDENT + text, styles.QUIET))


def courses(found: Digest) -> Iterator[Line]:
    """The learning curves together, the best in colour; without colours the best three, by marks."""
    coloured = output.is_coloured() and output.can_draw()
    kind = "coloured" if coloured else "plain"
    order = [row.trial for row in found.rows if row.status != "failed"]
    drawn = curves(found.state, order if coloured else order[: _MOST_CURVES[kind]], most=_MOST_CURVES[kind])
    shown = drawn.curves if coloured else drawn.curves[::-1]
    if not any(len(curve.epochs) > 1 for curve in shown):
        return
    yield line()
    yield line(
        Span(found.aim, styles.TITLE),
        Span(" by epoch  ", styles.QUIET),
        *_legend(shown, drawn.total, coloured=coloured),
    )
    limits, _ = robust_axis([value for curve in shown for value in curve.values], mode=found.state.aims[0].mode)
    lines = [
        Curve(
            str(curve.trial), [float(epoch) for epoch in curve.epochs],
            [value if limits.low <= value <= limits.high else None for value in curve.values],
            style=_style(curve) if coloured else "",
        )
        for curve in shown
    ]  # fmt: skip
    head = len(lines) if len(lines) == 1 and lines[0].label == found.aim else len(lines) + 1
    frame = Frame(found.aim, "epoch", output.width(), _ROWS + head, "braille" if coloured else "marks")
    yield from plot(lines, frame)[head:]
    if drawn.note:
        yield line(Span(drawn.note, styles.QUIET))


def _legend(shown: Sequence[Course], total: int, *, coloured: bool) -> Iterator[Span]:
    if not coloured:
        yield Span("  ".join(f"{mark(place)} trial {curve.trial}" for place, curve in enumerate(shown)))
        return
    others = len(shown)
    if shown[-1].part == "best":
        others -= 1
        yield Span("──", styles.WINNER)
        yield Span(f" the best, trial {shown[-1].trial}  ")
    if others:
        yield Span("──", styles.QUIET)
        few = f" of {total - len(shown) + others}" if total > len(shown) else ""
        yield Span(f" {others}{few} others", styles.QUIET)


def _style(curve: Course) -> str:
    return {"best": styles.WINNER, "failed": f"dim {styles.BAD}", "running": "bright_cyan"}.get(
        curve.part, styles.QUIET
    )


def _row(row: Row, word: str, *, has_seeds: bool, num_aims: int) -> list[Span]:
    style = styles.WINNER if row.rank == 1 else ""
    star = "*" if row.on_front and num_aims > 1 else ""
    spans = [Span(str(row.rank), style), Span(f"{row.trial}{star}", style)]
    spans += [Span(figure(value), style) for value in row.values]
    spans += [Span(figure(row.deviation, digits=2)), Span(str(row.num_runs))] if has_seeds else []
    spans += [Span(str(row.epochs)), Span(duration(row.seconds)), Span(word, _word_style(row.status))]
    return [*spans, Span(one_line(described(row.setting)))]


def _word_style(word: str) -> str:
    return _STATUS.get(word) or styles.STATUS.get(word, "")
