"""What `hpo-run explore` prints: the survey of a data set, and samples of its training part."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpo_cli.components.data.concerns import concerns
from hpo_cli.components.data.survey import NUM_BINS
from hpo_cli.console import styles
from hpo_cli.console.bars import bar
from hpo_cli.console.figures import figure
from hpo_cli.console.output import Line, Span, can_draw, line, width
from hpo_cli.console.tables import Column, one_line, table
from hpo_cli.verbs.explore_samples import samples

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from hpo_cli.components.data.arrays import RawData
    from hpo_cli.components.data.findings import Copies
    from hpo_cli.components.data.partition import Partition
    from hpo_cli.components.data.survey import Feature, Survey, Target, Text

WIDEST = 120
_MOST_ROWS = 40
_BAR = 30


def page(found: Survey, raw: RawData, parts: Partition) -> Iterator[Line]:
    """All of it, no line wider than the terminal."""
    yield from _head(found)
    for target in found.targets:
        yield from _target(target)
    if found.text:
        yield from _text(found.text)
    if found.features:
        yield from _features(found.features)
    yield from _oddities(found)
    yield line()
    yield line(Span("samples", styles.TITLE), "  of training")
    yield from samples(raw, parts, low=found.low, high=found.high)
    yield from _conclusion(found)


def _head(found: Survey) -> Iterator[Line]:
    sizes = ", ".join(f"{part} {count:,}" for part, count in found.sizes.items())
    shape = "x".join(map(str, found.input_shape))
    values = "tokens" if found.text else f"{figure(found.low)} .. {figure(found.high)}"
    yield line(Span("data", styles.TITLE), f"  {found.task}")
    yield line(f"  samples  {sizes}")
    yield line(f"  a sample {shape} of {found.dtype}, {values}")


def _target(target: Target) -> Iterator[Line]:
    yield line()
    if target.class_counts:
        yield from _classes(target)
    elif target.numbers:
        yield from _numbers(target, target.numbers)


def _classes(target: Target) -> Iterator[Line]:
    counts = target.class_counts or {}
    names, largest = list(counts["train"]), max(counts["train"].values())
    ratio = target.imbalance or 1.0
    title = target.name if target.name != "class" else "classes"
    yield line(
        Span(one_line(title), styles.TITLE),
        f"  {len(names)}, imbalance {figure(ratio, digits=3)} (largest by smallest)",
    )
    heads = [Column("  class", flexible=True), *(Column(part, "right") for part in counts), Column("")]
    rows = [
        [
            Span(f"  {one_line(name)}"),
            *(Span(f"{of_part[name]:,}") for of_part in counts.values()),
            Span(bar(counts["train"][name] / largest, width=_BAR, drawn=can_draw()), "bright_cyan"),
        ]
        for name in names
    ]
    yield from _shortened(table(heads, rows[:_MOST_ROWS], width=_width()), len(rows))


def _numbers(target: Target, numbers: Feature) -> Iterator[Line]:
    middle = f"mean {figure(numbers.mean)}, deviation {figure(numbers.deviation)}"
    title = Span(one_line(target.name), styles.TITLE)
    yield line(title, f"  {figure(numbers.low)} .. {figure(numbers.high)}, {middle}")
    step = (numbers.high - numbers.low) / NUM_BINS
    rows = [
        [
            Span(f"  {figure(numbers.low + index * step)}"),
            Span(str(count)),
            Span(bar(count / max(target.bins), width=_BAR, drawn=can_draw()), "bright_cyan"),
        ]
        for index, count in enumerate(target.bins)
    ]
    yield from table([Column("  from", "right"), Column("train", "right"), Column("")], rows, width=_width())


def _text(text: Text) -> Iterator[Line]:
    yield line()
    yield line(Span("text", styles.TITLE), f"  {text.characters:,} characters, {text.vocabulary} different ones")
    most = text.frequent[0][1]
    rows = [
        [Span(f"  {name!r}"), Span(f"{count:,}"), Span(bar(count / most, width=_BAR, drawn=can_draw()), "bright_cyan")]
        for name, count in text.frequent
    ]
    yield from table([Column("  most frequent"), Column("train", "right"), Column("")], rows, width=_width())


def _features(features: Sequence[Feature]) -> Iterator[Line]:
    yield line()
    yield line(Span("features", styles.TITLE), f"  {len(features)}, in training")
    numbers = ("min", "mean", "max", "deviation")
    heads = [Column("  feature", flexible=True), *(Column(name, "right") for name in numbers), Column("")]
    rows = [
        [
            Span(f"  {one_line(one.name)}"),
            *(Span(figure(value)) for value in (one.low, one.mean, one.high, one.deviation)),
            Span("constant" if one.is_constant else "", styles.BAD),
        ]
        for one in features[:_MOST_ROWS]
    ]
    yield from _shortened(table(heads, rows, width=_width()), len(features))


def _oddities(found: Survey) -> Iterator[Line]:
    lines = [*_copies(found.copies), *_outliers(found), *_correlated(found)]
    if lines:
        yield line()
        yield line(Span("odd", styles.TITLE), "  rows count from 1")
        yield from lines


def _copies(copies: Copies | None) -> Iterator[Line]:
    if copies is None or not copies.in_train:
        return
    pairs = ", ".join(f"{one} = {other}" for one, other in copies.examples)
    more = ", ..." if copies.in_train > len(copies.examples) else ""
    yield line(f"  {copies.in_train} training samples equal an earlier one: rows {pairs}{more}")


def _outliers(found: Survey) -> Iterator[Line]:
    heads = [
        Column("  outlier in row", "right"),
        Column("feature", flexible=True),
        Column("value", "right"),
        Column("robust z-score", "right"),
    ]
    rows = [
        [Span(f"  {one.row}"), Span(one_line(one.feature)), Span(figure(one.value)), Span(f"{one.score:.1f}")]
        for one in found.outliers
    ]
    yield from table(heads, rows, width=_width()) if rows else ()


def _correlated(found: Survey) -> Iterator[Line]:
    heads = [Column("  nearly the same", flexible=True), Column("", flexible=True), Column("correlation", "right")]
    rows = [
        [Span(f"  {one_line(pair.one)}"), Span(one_line(pair.other)), Span(f"{pair.r:.4f}")]
        for pair in found.correlated
    ]
    yield from table(heads, rows, width=_width()) if rows else ()


def _conclusion(found: Survey) -> Iterator[Line]:
    warned = list(concerns(found))
    for text in warned:
        yield line(Span("warning", "yellow"), f"  {one_line(text)}")
    if not warned:
        yield line(Span("good", "bold green"), "  nothing here needs mending")


def _shortened(lines: Sequence[Line], total: int) -> Iterator[Line]:
    yield from lines
    if total > _MOST_ROWS:
        yield line(Span(f"  and {total - _MOST_ROWS} more: --json lists all", styles.QUIET))


def _width() -> int:
    return min(width(), WIDEST)
