"""What the pictures of the page have in common: a field, axes with their marks, labels that have room."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from hpo_cli.report.dimensions import Axis
from hpo_cli.report.svg import Markup, element

_CLOSE = 34  # pixels between two labels of an axis
_GOLDEN = 0.618034  # its multiples, modulo 1, lie evenly (Weyl 1916)


@dataclass(frozen=True)
class Field:
    """Where a picture draws, in its own pixels."""

    width: float
    height: float
    left: float = 56
    right: float = 14
    top: float = 12
    bottom: float = 34

    def x(self, place: float) -> float:
        """Of a place 0 .. 1."""
        return self.left + place * (self.width - self.left - self.right)

    def y(self, place: float) -> float:
        """Of a place 0 .. 1, upwards."""
        return self.height - self.bottom - place * (self.height - self.top - self.bottom)


def x_labels(field: Field, of: Axis) -> list[Markup]:
    """Marks and labels of any axis that lies below."""
    if of.kind != "named":
        ticks = spaced(of.ticks(most=4), least=_CLOSE, of=lambda tick: field.x(tick.place))
        return [x_tick(field, tick.place, tick.label) for tick in ticks]
    if room_below(of) > Field(1, 1).bottom:
        return [_slanted(field, tick.place, tick.label) for tick in _fewer(of.ticks(), most=12)]
    return [x_tick(field, tick.place, cut(tick.label, 12)) for tick in of.ticks()]


def room_below(of: Axis) -> float:
    """Long names are written slanted, which takes room."""
    longest = max((min(12, len(name)) for name in of.names), default=0)
    return 34.0 if of.kind != "named" or len(of.names) * (longest + 1) <= 36 else 34.0 + 3.6 * longest  # noqa: PLR2004


def _fewer(ticks: Sequence[Any], *, most: int) -> Sequence[Any]:
    return ticks[:: -(-len(ticks) // most)]


def spread(of: Axis, trial: int, *, share: float = 0.5) -> float:
    """How far a trial lies beside a name, so that not all lie on one spot: always the same for a trial."""
    if of.kind != "named":
        return 0.0
    return share / max(1, len(of.names)) * ((trial * _GOLDEN) % 1 - 0.5)


def y_axis_marks(field: Field, of: Axis, name: str, *, most: int = 6) -> Iterator[Markup]:
    """Lines across, their numbers, and what is measured."""
    for tick in of.ticks(most=most):
        y = field.y(tick.place)
        yield element("line", class_="grid", x1=field.x(0), x2=field.x(1), y1=y, y2=y)
        yield element("text", tick.label, class_="tick", x=field.left - 6, y=y + 3.5, text_anchor="end")
    if name:
        yield element("text", name, class_="name", x=field.left, y=field.top - 2, text_anchor="start")


def x_tick(field: Field, place: float, label: str) -> Markup:
    """A mark below, with its label."""
    x, y = field.x(place), field.y(0)
    return element(
        "g",
        element("line", class_="axis", x1=x, x2=x, y1=y, y2=y + 4),
        element("text", label, class_="tick", x=x, y=y + 16, text_anchor="middle"),
    )


def _slanted(field: Field, place: float, label: str) -> Markup:
    x, y = field.x(place), field.y(0) + 12
    turn = f"rotate(-38 {x:.1f} {y:.1f})"
    return element("text", cut(label, 12), class_="tick", x=x, y=y, text_anchor="end", transform=turn)


def x_name(field: Field, name: str) -> Markup:
    """What lies below."""
    return element("text", name, class_="name", x=field.x(1), y=field.height - 4, text_anchor="end")


def clip(field: Field, name: str) -> Markup:
    """Only what lies inside the field is shown of what refers to `name`."""
    inside = element(
        "rect", x=field.x(0) - 3, y=field.y(1) - 4, width=field.x(1) - field.x(0) + 6,
        height=field.y(0) - field.y(1) + 6,
    )  # fmt: skip
    return element("clipPath", inside, id=name)


def picture(field: Field, *parts: str | Iterable[str], class_: str, label: str, floor: str = "line") -> Markup:
    """The whole picture. floor: `line` for one along the bottom."""
    base = element("line", class_="axis", x1=field.x(0), x2=field.x(1), y1=field.y(0), y2=field.y(0))
    box = f"0 0 {field.width:.0f} {field.height:.0f}"
    below = [base] if floor == "line" else []
    return element("svg", *below, *parts, class_=class_, viewBox=box, role="img", aria_label=label)


def spaced(ticks: Sequence[Any], *, least: float, of: Callable[[Any], float]) -> list[Any]:
    """Those ticks that leave room for each other's labels."""
    kept: list[Any] = []
    for tick in ticks:
        if not kept or abs(of(tick) - of(kept[-1])) >= least:
            kept.append(tick)
    return kept


def cut(text: str, most: int) -> str:
    """`text`, its end replaced by an ellipsis where it is longer than `most`."""
    return text if len(text) <= most else text[: most - 1] + "…"
