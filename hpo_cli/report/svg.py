"""Elements of a page and of its pictures: whatever is text is escaped, so that a name stays a name."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

_VOID = {"meta", "link", "br", "input", "line", "circle", "rect", "path", "polyline"}


class Markup(str):
    """Text that is already markup; all other text is escaped where it enters an element."""

    __slots__ = ()


def element(name: str, /, *children: str | Iterable[str], **attributes: object) -> Markup:
    """`<name attributes>children</name>`. Attributes that are None are left out; `_` is `-`, a last `_` is dropped.

    >>> element("p", "a < b", class_="x", data_t=3)
    '<p class="x" data-t="3">a &lt; b</p>'
    >>> element("p", element("b", "x"), ["y", "z"])
    '<p><b>x</b>yz</p>'
    """
    told = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(_said(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    inner = "".join(map(_inner, children))
    return Markup(f"<{name}{told}/>") if name in _VOID and not inner else Markup(f"<{name}{told}>{inner}</{name}>")


def joined(parts: Iterable[str]) -> Markup:
    """Parts beside each other."""
    return Markup("".join(_text(part) for part in parts))


def points(places: Iterable[tuple[float, float]]) -> str:
    """Coordinates as a polyline has them."""
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in places)


def _inner(child: str | Iterable[str]) -> str:
    return _text(child) if isinstance(child, str) else joined(child)


def _text(part: str) -> str:
    return part if isinstance(part, Markup) else escape(part, quote=False)


def _said(value: object) -> str:
    return f"{value:.1f}".removesuffix(".0") if isinstance(value, float) else str(value)
