"""The parts of the page that are words and figures: the head, the winner, the leaderboard, importance, failures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from hpo_cli.report import commands
from hpo_cli.report.digest import Digest
from hpo_cli.report.dimensions import begun_space
from hpo_cli.report.figures import described, duration, figure
from hpo_cli.report.importance import Importance, Importances
from hpo_cli.report.leaderboard import Row
from hpo_cli.report.svg import Markup, element, joined
from hpo_cli.sweep.dimension import Dimension
from hpo_cli.sweep.sizes import known_total
from hpo_cli.sweep.standings import plural

SHOWN_ROWS, MOST_ROWS = 15, 300
_LONGEST_REASON = 400
_MOST_FAILED = 100


def head(found: Digest) -> Markup:
    """Name, status and facts."""
    state, facts = found.state, found.summary
    size = known_total(state)
    told = {
        "trials": f"{len(state.trials)}{'' if size is None else f' of {size}'} ({found.counts})",
        "search": _search(found),
        "training time": f"{duration(facts.seconds)}, {facts.epochs:,} epochs",
        "began": _moment(facts.began),
        "ended": f"{_moment(facts.ended)} ({facts.why})" if facts.ended else "",
        "machine": _machine(found),
    }
    pairs = [element("div", element("dt", key), element("dd", value)) for key, value in told.items() if value]
    return element(
        "header",
        element("h1", state.name or "sweep", " ", element("small", state.id), " ", _standing(facts.standing)),
        element("dl", pairs, class_="facts"),
    )


def winner(found: Digest) -> Markup:
    """The best trial, what its lead is worth, and what to type next."""
    if not found.ranked:
        text = "No trial has a value yet: the leaderboard fills as trials end."
        return element("section", element("p", text), class_="card hero")
    first = found.ranked[0]
    spread = element("small", f" ± {figure(first.deviation, digits=2)}") if first.deviation is not None else ""
    runs = f", mean of {first.num_runs} runs" if first.num_runs > 1 else ""
    left = element(
        "div",
        element("div", found.aim, class_="quiet"),
        element("div", figure(first.mean), spread, class_="value"),
        element("div", f"trial {first.trial}, {plural(first.epochs, 'epoch')}{runs}", class_="quiet"),
    )
    chips = [element("li", element("span", f"{key}="), figure(value, digits=6)) for key, value in first.setting.items()]
    took_over = found.state.trial(first.trial).num_adopted
    now = "its setting now, after what it took over" if took_over else "its setting"
    right = element("div", element("div", now, class_="quiet"), element("ul", chips, class_="chips"))
    return element("section", left, right, element("div", _next(found), class_="wide"), class_="card hero")


def leaderboard(found: Digest) -> Markup:
    """The table, its first rows open and the rest folded away."""
    rows = [row for row in found.rows if row.rank is not None or row.status != "failed"][:MOST_ROWS]
    left_out = len(found.rows) - len(found.failed) - len(rows)
    parts = [_table(rows[:SHOWN_ROWS], found)]
    if rows[SHOWN_ROWS:]:
        more = element("summary", f"{len(rows) - SHOWN_ROWS} more")
        parts.append(element("details", more, _table(rows[SHOWN_ROWS:], found)))
    if left_out:
        text = f"{left_out} more trials are not in this table; hpo-run best {found.state.id} --json has all of them."
        parts.append(element("p", text, class_="note"))
    return joined(parts)


def importance(found: Importances) -> Markup:
    """Bars beside the order in which hyperparameters usually matter."""
    cells = [element("div", text, class_="head" + more) for text, more in _HEADS]
    cells += [part for row in found.rows for part in _bar(row)]
    bars = element("div", cells, class_="bars") if found.method != "none" else ""
    return joined([bars, element("ul", [element("li", text) for text in found.cautions], class_="note")])


def failures(rows: Sequence[Row]) -> Markup:
    """What failed for good, and why."""
    heads = [element("th", text) for text in ("trial", "why", "setting")]
    lines = [
        element(
            "tr",
            element("td", str(row.trial), class_="num"),
            element("td", (row.why or "no reason was recorded")[:_LONGEST_REASON]),
            element("td", described(row.setting), class_="mono"),
            data_t=row.trial,
        )
        for row in rows[:_MOST_FAILED]
    ]
    table = element("table", element("thead", element("tr", heads)), element("tbody", lines))
    more = len(rows) - _MOST_FAILED
    note = element("p", f"{more} more failed; they are not in this table.", class_="note") if more > 0 else ""
    return joined([element("div", table, class_="scroll"), note])


def refused(found: Digest) -> Markup:
    """Why settings were refused, the most frequent reason first."""
    heads = [element("th", text) for text in ("settings", "why", "such as")]
    lines = [
        element(
            "tr",
            element("td", str(one.num), class_="num"),
            element("td", one.reason[:_LONGEST_REASON]),
            element("td", described(one.setting), class_="mono"),
        )
        for one in found.refused[:_MOST_FAILED]
    ]
    return element("div", _plain_table(heads, lines), class_="scroll")


def space(found: Digest) -> Markup:
    """What was searched, as it was begun, and what people changed of it since."""
    state, now = found.state, {one.name: one for one in found.state.space.dimensions}
    begun = begun_space(state).dimensions
    extra = [one for one in now.values() if one.name not in {other.name for other in begun}]
    is_changed = bool(extra) or any(str(now.get(one.name)) != str(one) for one in begun)
    titles = ["dimension", "values", *(["searched now"] if is_changed else []), "active when", "sets"]
    lines = [
        element(
            "tr",
            element("td", one.name, class_="mono"),
            element("td", str(one) if one not in extra else "not searched"),
            element("td", _now(one, now.get(one.name), is_new=one in extra)) if is_changed else "",
            element("td", " and ".join(map(str, one.when)), class_="mono"),
            element("td", ", ".join(one.keys) if one.keys != (one.name,) else "", class_="mono"),
        )
        for one in (*begun, *extra)
    ]
    table = _plain_table([element("th", text) for text in titles], lines)
    return joined([element("div", table, class_="scroll"), _edits(found)])


def _now(begun: Dimension, now: Dimension | None, *, is_new: bool) -> str:
    if now is None:
        return "no more"
    return str(now) if is_new or str(now) != str(begun) else "the same"


def _edits(found: Digest) -> Markup:
    if not found.state.edits:
        return Markup("")
    heads = [element("th", text) for text in ("when", "who", "what changed", "why")]
    lines = [
        element(
            "tr",
            element("td", _moment(str(event.get("at") or ""))),
            element("td", str(event.get("who") or "")),
            element("td", "; ".join(map(str, event.get("changes") or ()))),
            element("td", str(event.get("why") or "")),
        )
        for event in found.state.edits
    ]
    title = element("h3", "Edits while it ran")
    return joined([title, element("div", _plain_table(heads, lines), class_="scroll")])


def _plain_table(heads: Sequence[Markup], lines: Sequence[Markup]) -> Markup:
    return element("table", element("thead", element("tr", heads)), element("tbody", lines))


def reproduce(found: Digest) -> Markup:
    """The commands that do it again."""
    told = {"the whole sweep again": commands.repeat(found.state)}
    if found.train:
        alone = "the winner alone"
        if found.state.trial(found.ranked[0].trial).num_adopted:
            alone = "the winner's whole schedule, as a config that trains it in one run"
        told |= {alone: found.train, "go on with the winner": found.panda}
    parts = [joined([element("p", f"{what}:"), element("pre", command)]) for what, command in told.items()]
    cwd = found.state.began.get("cwd")
    where = element("p", f"begun in {cwd}", class_="note") if cwd else ""
    return joined([*parts, where])


def _next(found: Digest) -> Iterator[Markup]:
    verdict = found.verdict
    if verdict is not None:
        yield element("p", element("b", _upper(verdict.text) + "."))
        yield element("ul", [element("li", _upper(text)) for text in verdict.cautions], class_="note")
    if found.seeds:
        yield element("p", "To tell them apart:", class_="quiet")
        yield from (element("pre", command) for command in found.seeds)
    yield element("p", "Train the winner, or raise it as a panda:", class_="quiet")
    yield element("pre", f"{found.train}\n{found.panda}")


def _table(rows: Sequence[Row], found: Digest) -> Markup:
    names = [aim.name for aim in found.state.aims]
    has_seeds = any(row.num_runs > 1 for row in rows)
    heads = ["", "trial", *names, *(["±", "runs"] if has_seeds else []), "epochs", "time"]
    cells = [element("th", text, class_="num", data_sort="") for text in heads]
    cells += [element("th", text, data_sort="") for text in ("status", "setting")]
    lines = [_row(row, found.word(row.status), names, has_seeds=has_seeds) for row in rows]
    table = element("table", element("thead", element("tr", cells)), element("tbody", lines))
    return element("div", table, class_="scroll")


def _row(row: Row, word: str, names: Sequence[str], *, has_seeds: bool) -> Markup:
    values = row.values or (row.mean, *(None for _ in names[1:]))
    figures: list[tuple[Any, str]] = [(row.rank, figure(row.rank) if row.rank else ""), (row.trial, str(row.trial))]
    figures += [(value, figure(value)) for value in values]
    figures += (
        [(row.deviation, figure(row.deviation, digits=2)), (row.num_runs, str(row.num_runs))] if has_seeds else []
    )
    figures += [(row.epochs, str(row.epochs)), (row.seconds, duration(row.seconds))]
    cells = [
        element("td", text, class_="num value" if place == 2 else "num", data_v=value)  # noqa: PLR2004 - the first aim
        for place, (value, text) in enumerate(figures)
    ]
    front = "*" if row.on_front and len(names) > 1 else ""
    cells += [element("td", word + front, class_="word"), element("td", described(row.setting), class_="mono")]
    return element("tr", cells, data_t=row.trial, class_="first" if row.rank == 1 else None)


_HEADS = (("hyperparameter", ""), ("share of importance in this sweep", ""), ("usually tuned", " tier"))
_ORDER = {1: "first", 2: "second", 3: "third", None: "not in the order"}


def _bar(row: Importance) -> Iterator[Markup]:
    small = [element("br"), element("small", row.when)] if row.when else []
    yield element("div", row.name, small, class_="what mono")
    share = row.share
    width = f"width:{100 * (share or 0):.1f}%"
    text = "not measured" if share is None else f"{100 * share:.1f} %" if share < 0.1 else f"{100 * share:.0f} %"  # noqa: PLR2004
    bar = element("div", element("i", style=width) if share else "", class_=f"bar tier{row.tier or 0}")
    yield element("div", bar, element("span", text), class_="pair")
    yield element("div", _ORDER[row.tier], class_="tier quiet")


def _standing(word: str) -> Markup:
    return element("span", word, class_=f"standing {word.rstrip('?').replace(' ', '-')}")


def _search(found: Digest) -> str:
    settings = found.state.settings
    search = str(settings.search)
    parts = [search if settings.scheduler == "none" else f"{search} with {settings.scheduler}"]
    parts += [f"{len(found.state.inner)} runs each"] if len(found.state.inner) > 1 else []
    return ", ".join(parts)


def _machine(found: Digest) -> str:
    environment = found.best.environment
    hosts = list(found.summary.hosts) or [str(environment.get("hostname", ""))]
    packages = environment.get("packages") or {}
    parts = [", ".join(hosts), f"{environment['cores']} cores" if environment.get("cores") else ""]
    parts += [f"{name} {packages[name]}" for name in ("torch",) if packages.get(name)]
    return ", ".join(part for part in parts if part)


def _moment(at: str) -> str:
    try:
        return f"{datetime.fromisoformat(at):%Y-%m-%d %H:%M} UTC"
    except ValueError:
        return at


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]
