"""`hpo-run gradcheck [overrides]`: gradients of the composed model and loss against finite differences."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import TYPE_CHECKING

from hpo_cli.console import styles
from hpo_cli.console.figures import figure
from hpo_cli.console.output import Line, Span, line, width, write, write_json
from hpo_cli.console.tables import Column, table
from hpo_cli.verbs.arguments import whole_number
from hpo_cli.verbs.composing import composed, composing_parser, read_words

if TYPE_CHECKING:
    from hpo_cli.engine.gradcheck import GradientCheck

ABOUT = "Compare the gradient of every parameter with central differences, in float64; train and save nothing."
_STYLES = {"ok": styles.GOOD, "kink": "yellow", "bad": styles.BAD}


def main(argv: list[str]) -> int:
    """Print a table of the parameters; exit code 1 when a gradient is wrong."""
    parser = composing_parser("gradcheck", about=ABOUT)
    parser.add_argument(
        "--samples", metavar="N", type=_two_or_more, default=8, help="samples in the batch (default: 8)"
    )
    parser.add_argument(
        "--entries", metavar="N", type=whole_number, default=5, help="random entries of each parameter (default: 5)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON for another program")
    words, args = read_words(parser, argv)
    plan = composed(words).plan
    from hpo_cli.engine.gradcheck import check_gradients

    found = check_gradients(plan, samples=args.samples, entries=args.entries)
    if args.json:
        write_json(found.to_dict())
    else:
        write(list(_report(found)))
    return 1 if found.bad else 0


def _two_or_more(word: str) -> int:
    if whole_number(word) < 2:  # noqa: PLR2004 - batch norm has no variance in a batch of one
        raise argparse.ArgumentTypeError(f"{word}: must be 2 or more")
    return int(word)


def _report(found: GradientCheck) -> Iterator[Line]:
    yield line(Span("gradients", "bold"), f"  of the loss {found.loss:.4f} of {found.samples} samples, in float64")
    heads = [
        Column("parameter", flexible=True),
        *(Column(name, "right") for name in ("shape", "norm", "largest error")),
        Column(""),
    ]
    rows = [
        [
            Span(one.name),
            Span("x".join(map(str, one.shape))),
            Span(figure(one.norm, digits=3)),
            Span("-" if one.verdict == "kink" else f"{one.error:.1e}"),
            Span(
                one.verdict + (f" ({one.kinks} of {one.compared} at a kink)" if one.kinks else ""), _STYLES[one.verdict]
            ),
        ]
        for one in found.tensors
    ]
    yield from table(heads, rows, width=width())
    if found.left_out:
        yield line(Span("left out  ", "dim"), ", ".join(found.left_out))
    yield line("")
    yield _conclusion(found)


def _conclusion(found: GradientCheck) -> Line:
    if found.bad:
        names = ", ".join(one.name for one in found.bad)
        what = f"{len(found.bad)} of {len(found.tensors)} gradients differ from finite differences: {names}"
        return line(Span("bad", "bold red"), f"  {what}")
    return line(Span("good", "bold green"), f"  all {len(found.tensors)} gradients are those of finite differences")
