"""Reading a verb's own words: a mistake is one line and exit code 2."""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING, NoReturn

from hpo_cli.errors import UserError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Sequence

OUTPUTS_VARIABLE = "HPO_RUN_OUTPUTS"
RUN_HELP = "a path, a run's id or the beginning of one, last, best, best:NAME, or best:SWEEP"


class Parser(argparse.ArgumentParser):
    """argparse with one-line errors (UserError), whole option names, and did-you-mean for unknown ones."""

    def __init__(self, verb: str, *, about: str) -> None:
        super().__init__(prog=f"hpo-run {verb}".strip(), description=about, allow_abbrev=False)

    def read(self, argv: Sequence[str]) -> argparse.Namespace:
        """The words of `argv`, checked. Raises UserError."""
        args, unknown = self.parse_known_args(list(argv))
        if unknown:
            options = [option for action in self._actions for option in action.option_strings]
            self.error(f"{unknown[0]}: not an option here; {did_you_mean(unknown[0], options)}".rstrip("; "))
        return args

    def error(self, message: str) -> NoReturn:
        """Raise what argparse would print."""
        raise UserError(f"{self.prog}: {message}; `{self.prog} --help` lists what it takes")


def reading_parser(verb: str, *, about: str) -> Parser:
    """A parser with what every reading verb has: --outputs and --json."""
    parser = Parser(verb, about=about)
    parser.add_argument(
        "--outputs",
        metavar="DIR",
        default=os.environ.get(OUTPUTS_VARIABLE) or "outputs",
        help=f"the folder of all runs (default: ${OUTPUTS_VARIABLE}, or outputs)",
    )
    parser.add_argument("--json", action="store_true", help="print JSON for another program")
    return parser


def whole_number(word: str) -> int:
    """A number from 0 up. Raises what argparse turns into an error."""
    if not word.isdecimal():
        raise argparse.ArgumentTypeError(f"{word}: must be a whole number, 0 or more")
    return int(word)
