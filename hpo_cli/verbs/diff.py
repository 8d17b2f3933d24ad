"""`hpo-run diff A B`: what was set otherwise, and what came of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hpo_cli.console import output, styles
from hpo_cli.console.figures import NOTHING, figure
from hpo_cli.console.output import Span, line
from hpo_cli.console.tables import Column, one_line, table
from hpo_cli.errors import UserError
from hpo_cli.record.contents import mapping
from hpo_cli.record.details import RunDetails, read_details
from hpo_cli.record.flat import flatten, flatten_plan
from hpo_cli.record.line import settings_of
from hpo_cli.record.metrics import number
from hpo_cli.record.runs import find_run
from hpo_cli.steer.settings import settled
from hpo_cli.verbs.arguments import RUN_HELP, reading_parser

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from hpo_cli.console.output import Line
    from hpo_cli.record.contents import Values

_ABSENT = "(none)"
_COUNTS = ("steps", "epochs", "seconds")


def main(argv: Sequence[str]) -> int:
    """Compare two runs. Raises UserError."""
    parser = reading_parser("diff", about="Compare two runs: config keys that differ, then the results side by side.")
    parser.add_argument("a", metavar="A", help=RUN_HELP)
    parser.add_argument("b", metavar="B", help="the same")
    args = parser.read(argv)
    a, b = (read_details(find_run(ref, args.outputs)) for ref in (args.a, args.b))
    comparison = _compare(a, b)
    if args.json:
        output.write_json(comparison)
    else:
        output.write(_page(comparison, mode=_mode(a, b)))
    return 0


def _compare(a: RunDetails, b: RunDetails) -> Values:
    return {
        "a": _who(a),
        "b": _who(b),
        "config": _differing(_settings(a), _settings(b)),
        "nudged": {"a": _nudged(a), "b": _nudged(b)},
        "environment": _differing(_environment(a), _environment(b)),
        "results": _side_by_side(_results(a), _results(b)),
    }


def _who(details: RunDetails) -> Values:
    record = details.record
    return {"id": record.id, "name": record.name, "path": str(record.path), "status": record.status}


def _settings(details: RunDetails) -> Values:
    if details.plan is None:
        path = details.record.path
        raise UserError(f"{path}: has no readable plan.yaml, so there is no config to compare; `hpo-run show {path}`")
    config = {key: value for key, value in details.plan.items() if key not in ("plan_id", "choices")}
    now = settled(config, mapping(details.plan.get("choices")), details.line)
    return flatten_plan({**now.config, "choices": now.choices})


def _nudged(details: RunDetails) -> list[str]:
    """The knobs that were changed after the run had begun."""
    return list(settings_of(details.line))


def _environment(details: RunDetails) -> Values:
    return flatten(mapping(mapping(details.state.started).get("environment")))


def _results(details: RunDetails) -> Values:
    record = details.record
    best = {f"best {name}": mapping(value).get("value") for name, value in details.best.items()}
    counts = {name: getattr(record, name) for name in _COUNTS}
    aim = {f"objective {record.objective.name}": record.objective.value} if record.objective else {}
    return {**aim, **best, **{f"last {name}": value for name, value in record.metrics.items()}, **counts}


def _differing(a: Mapping[str, Any], b: Mapping[str, Any]) -> dict[str, Values]:
    """{key: {"a": value, "b": value}} of the keys that differ; a side without the key has no entry."""
    keys = dict.fromkeys([*a, *b])
    sides = {key: {side: values[key] for side, values in (("a", a), ("b", b)) if key in values} for key in keys}
    return {key: both for key, both in sides.items() if len(both) == 1 or both["a"] != both["b"]}


def _side_by_side(a: Values, b: Values) -> dict[str, Values]:
    """{metric: {"a", "b", "difference": b - a}}, null where there is no finite number."""
    pairs = {name: (number(a.get(name)), number(b.get(name))) for name in dict.fromkeys([*a, *b])}
    return {name: {"a": x, "b": y, "difference": _difference(x, y)} for name, (x, y) in pairs.items()}


def _difference(x: float | None, y: float | None) -> float | None:
    return None if x is None or y is None else y - x


def _mode(a: RunDetails, b: RunDetails) -> str | None:
    """Which way is better, when both runs agree on the objective."""
    x, y = a.record.objective, b.record.objective
    return x.mode if x and y and (x.name, x.mode) == (y.name, y.mode) else None


def _page(comparison: Values, *, mode: str | None) -> Iterator[Line]:
    a, b = comparison["a"], comparison["b"]
    yield line(
        Span("a  ", styles.QUIET),
        Span(f"{a['name']} {a['id']}", styles.TITLE),
        "  ",
        styles.status(a["status"]),
    )
    yield line(
        Span("b  ", styles.QUIET),
        Span(f"{b['name']} {b['id']}", styles.TITLE),
        "  ",
        styles.status(b["status"]),
    )
    yield from _differences("config", comparison["config"], same="the same config")
    for side, keys in comparison["nudged"].items():
        if keys:
            yield line(Span(f"{side} was nudged: {', '.join(map(one_line, keys))}", styles.QUIET))
    if comparison["environment"]:
        yield from _differences("environment", comparison["environment"], same="")
    yield line()
    yield from _result_table(comparison["results"], mode=mode)


def _differences(title: str, differences: dict[str, Values], *, same: str) -> Iterator[Line]:
    yield line()
    if not differences:
        yield line(Span(same, styles.QUIET))
        return
    heads = [Column(title, flexible=True), Column("a", flexible=True), Column("b", flexible=True)]
    rows = [[Span(one_line(key)), _side(both, "a"), _side(both, "b")] for key, both in differences.items()]
    yield from table(heads, rows, width=_room())


def _side(both: Values, side: str) -> Span:
    if side not in both:
        return Span(_ABSENT, styles.QUIET)
    value = both[side]
    return Span("null" if value is None else one_line(str(value).lower() if isinstance(value, bool) else str(value)))


def _result_table(results: dict[str, Values], *, mode: str | None) -> list[Line]:
    heads = [Column("result", flexible=True), *(Column(head, "right") for head in ("a", "b", "b - a"))]
    rows = [
        [
            Span(one_line(name)),
            Span(figure(row["a"])),
            Span(figure(row["b"])),
            _change(name, row["difference"], mode=mode),
        ]
        for name, row in results.items()
    ]
    return table(heads, rows, width=_room())


def _change(name: str, difference: float | None, *, mode: str | None) -> Span:
    if difference is None:
        return Span(NOTHING, styles.QUIET)
    text = f"{'+' if difference > 0 else ''}{figure(difference)}"
    if mode is None or difference == 0 or not name.startswith("objective "):
        return Span(text)
    return Span(text, styles.GOOD if (difference > 0) == (mode == "max") else styles.BAD)


def _room() -> int | None:
    return output.width() if output.is_styled() else None
