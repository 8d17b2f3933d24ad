"""`hpo-run report`: a sweep as one HTML file that needs nothing else, neither a network nor scripts to be read."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from hpo_cli.report import html_charts, html_lineage, html_parallel, html_tables
from hpo_cli.report.curves import Curves, curves
from hpo_cli.report.dimensions import robust_axis
from hpo_cli.report.figures import described, figure
from hpo_cli.report.html_script import SCRIPT
from hpo_cli.report.html_style import STYLE
from hpo_cli.report.parallel import parallel
from hpo_cli.report.slices import slices
from hpo_cli.report.svg import Markup, element
from hpo_cli.sweep.standings import plural

if TYPE_CHECKING:
    from hpo_cli.report.digest import Digest

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:"
_LEGEND = {
    "finished": "--q3", "running": "--q3", "waiting": "--q1", "paused": "--q1", "stopped": "--q1", "failed": "--bad",
}  # fmt: skip


def page(found: Digest) -> str:
    """The whole file. Everything that anybody named is text in it, never markup."""
    name = found.state.name or found.state.id
    head = [
        Markup('<meta charset="utf-8"/>'),
        element("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("link", rel="icon", href="data:,"),
        element("title", f"{name} {found.state.id}: a sweep of hpo-run"),
        element("style", Markup(STYLE)),
    ]
    tip = element("div", id="tip", hidden="hidden", role="status")
    scripts = [element("script", _known(found), type="application/json", id="trials"), _script()]
    body = element("body", element("main", *_sections(found)), tip, scripts)
    return f"<!doctype html>\n{element('html', element('head', head), body, lang='en')}\n"


def _sections(found: Digest) -> Iterator[Markup]:
    yield html_tables.head(found)
    yield html_tables.winner(found)
    values = {row.trial: row.mean for row in found.ranked if row.mean is not None}
    order = list(values)
    yield from _curves(found)
    if found.rows:
        yield _section("Leaderboard", html_tables.leaderboard(found), _board_note(found))
    yield from _lineage(found)
    if order and found.state.space.dimensions:
        intro = "What decided how good a trial was, beside what practitioners tune first, second and third."
        yield _section("What mattered", html_tables.importance(found.importances), intro)
        yield _slices(found, values)
        yield _parallel(found, values)
    if len(found.state.aims) > 1 and order:
        yield from _front(found)
    if found.refused:
        num = sum(one.num for one in found.refused)
        said = f"{plural(num, 'setting')} that no run can have, which the search proposed; they cost no trial."
        yield _section("What was refused", html_tables.refused(found), said)
    if found.failed:
        intro = f"{len(found.failed)} of {len(found.rows)} trials failed for good."
        yield _section("What failed", html_tables.failures(found.failed), intro)
    begun = "As it was when the sweep began"
    edits = f", and the {plural(len(found.state.edits), 'edit')} since then." if found.state.edits else "."
    yield _section("The space", html_tables.space(found), begun + edits)
    yield _section("To do it again", html_tables.reproduce(found))
    yield element("footer", f"Written by hpo-run from {found.state.folder}.")


def _section(title: str, content: Markup, note: str = "") -> Markup:
    told = element("p", note, class_="note") if note else ""
    return element("section", element("h2", title), told, element("div", content, class_="card"))


def _curves(found: Digest) -> Iterator[Markup]:
    drawn = curves(found.state, [row.trial for row in found.rows])
    if not drawn.curves:
        return
    aim = found.state.aims[0]
    chart, beyond = html_charts.curves_chart(drawn, name=aim.name, mode=aim.mode, epochs=found.state.epochs)
    content = element("div", _legend(found, drawn), element("div", chart, class_="scroll"), class_="curves")
    notes = [_thinned(len(drawn.curves), drawn.total)]
    notes += [f"{beyond} end outside the picture."] if beyond else []
    notes += [drawn.note]
    yield _section("Learning curves", content, " ".join(filter(None, notes)))


def _legend(found: Digest, drawn: Curves) -> Markup:
    there = {curve.part for curve in drawn.curves}
    best = element("span", element("i", style="border-color:var(--best)"), "the best")
    others = [
        element(
            "label", element("input", type="checkbox", id=f"show-{part}", checked="checked"),
            element("i", style=f"border-color:var({colour})"), found.word(part),
        )
        for part, colour in _LEGEND.items()
        if part in there
    ]  # fmt: skip
    return element("div", best, others, class_="legend")


def _lineage(found: Digest) -> Iterator[Markup]:
    """A picture for each knob that changed with the states that were taken over."""
    shown = html_lineage.knobs(found)[: html_lineage.MOST_KNOBS]
    if not shown:
        return
    pictures = [
        part
        for place, knob in enumerate(shown)
        for part in (
            html_lineage.scale(knob),
            element("div", html_lineage.lineage_chart(found, knob, place=place), class_="scroll"),
        )
    ]
    note = (
        "A row a member, the best on top. Where an arrow ends it gave its own state up for that of the member where "
        "the arrow begins, and went on with other knobs; thin is what was given up. The colour is the knob's value."
    )
    yield _section("Who took over whom", element("div", pictures), note)


def _slices(found: Digest, values: dict[int, float]) -> Markup:
    y_axis, beyond = robust_axis(list(values.values()), mode=found.state.aims[0].mode)
    inside = {trial: value for trial, value in values.items() if y_axis.low <= value <= y_axis.high}
    colours = html_charts.bins(list(values))
    parts = {row.trial: row.status for row in found.rows if row.status in ("waiting", "paused", "stopped")}
    drawn = slices(found.state, inside)
    figures = [
        element(
            "figure",
            element("h3", one.name, " ", element("small", _condition(one.condition, one.trials))),
            html_charts.slice_chart(one, y_axis, colours=colours, parts=parts),
            element("figcaption", f"{len(one.dots)} of {one.trials} drawn" if len(one.dots) < one.trials else ""),
        )
        for one in drawn
    ]
    note = f"{found.aim} against each hyperparameter, a dot a trial; faint ones were ended early."
    if any(trial.num_adopted for trial in found.state.trials):
        note += " Each trial with the knobs that it has now, not those that it began with."
    if any(one.present for one in drawn):
        note += " Shaded: what is still searched, after the edits."
    if beyond:
        note += f" {beyond} values far off on the bad side are left out, so that the good ones can be told apart."
    return _section("Slices", element("div", figures, class_="slices"), note)


def _parallel(found: Digest, values: dict[int, float]) -> Markup:
    drawn = parallel(found.state, values)
    colours = html_charts.bins(list(values))
    aim = found.state.aims[0]
    chart, beyond = html_parallel.parallel_chart(drawn, colours=colours, name=aim.name, mode=aim.mode)
    notes = [
        "A line a trial, through its setting to its value: the stronger the blue, the better; the best in orange.",
        "Dotted where a hyperparameter is not active.",
        "Thick: what is still searched, after the edits." if any(drawn.present) else "",
        _thinned(len(drawn.lines), drawn.total),
        f"{beyond} values beyond the bad end of the last axis are drawn at its end." if beyond else "",
    ]
    return _section("Parallel coordinates", element("div", chart, class_="scroll"), " ".join(filter(None, notes)))


def _front(found: Digest) -> Iterator[Markup]:
    aims = found.state.aims
    dots = [
        (row.trial, row.values[1], row.values[0])
        for row in found.ranked
        if len(row.values) > 1 and row.values[0] is not None and row.values[1] is not None
    ]
    if not dots:
        return
    front = {row.trial for row in found.ranked if row.on_front}
    chart = html_charts.front_chart(dots, front, aims=aims)
    note = f"In colour: the {len(front)} trials that no other one beats in every aim."
    if len(aims) > len(("first", "second")):
        note += f" The picture shows two of {len(aims)} aims."
    yield _section("Trade-off", element("div", chart, class_="scroll"), note)


def _board_note(found: Digest) -> str:
    aim = found.state.aims[0]
    way = "the highest" if aim.mode == "max" else "the lowest"
    reduced = "value of its epochs" if found.state.settings.reduce == "best" else "value at the end"
    note = f"By {aim.name}, {way} first; a trial counts with its {found.state.settings.reduce} {reduced}."
    return note + (" * no other trial beats it in every aim." if len(found.state.aims) > 1 else "")


def _condition(condition: str, trials: int) -> str:
    return f"if {condition} ({trials} trials)" if condition else ""


def _thinned(drawn: int, total: int) -> str:
    return (
        f"Drawn: {drawn} of {total} trials, the best of them and every so many of the others." if drawn < total else ""
    )


def _known(found: Digest) -> Markup:
    """What the script tells of a trial that is pointed at; `<` is written so that no text can end the script."""
    drawn: Sequence[tuple[int, str, str]] = [
        (
            row.trial,
            f"{figure(row.mean)} ({found.word(row.status)}, {plural(row.epochs, 'epoch')})",
            described(row.setting),
        )
        for row in found.rows
    ]
    text = json.dumps({trial: [value, setting] for trial, value, setting in drawn}, separators=(",", ":"))
    return Markup(text.replace("<", "\\u003c").replace("&", "\\u0026"))


def _script() -> Markup:
    return element("script", Markup(SCRIPT))
