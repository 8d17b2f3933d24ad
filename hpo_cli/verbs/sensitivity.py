"""`hpo-run sensitivity [words]`: one knob at a time round a base point, to see which of them matter."""

from __future__ import annotations

from collections.abc import Sequence

from hpo_cli.verbs.composing import composing_parser, read_words

ABOUT = (
    "Vary one knob at a time round the run that the words describe. The knobs: ranges and lists among the words, or "
    "the ranges of the options. The same as hpo-run -m sweep=sensitivity."
)


def main(argv: Sequence[str]) -> int:
    """Sweep, and say which knobs mattered; the exit code. Raises UserError."""
    parser = composing_parser("sensitivity", about=ABOUT)
    parser.add_argument("--dry-run", action="store_true", help="list the trials and what they would cost")
    parser.add_argument("--allow", action="append", default=[], metavar="MODULE")
    read_words(parser, argv)
    from hpo_cli.verbs import train

    return train.main(["-m", "sweep=sensitivity", *argv])
