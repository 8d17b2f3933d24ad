"""`hpo-run branch RUN [--at ...] [overrides]`: a child of a run in a folder of its own, with other settings."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path

from hpo_cli.console.output import Span, line, write, write_json
from hpo_cli.record.reading import read_run
from hpo_cli.record.runs import find_run
from hpo_cli.steer.ancestors import Birth, check_length
from hpo_cli.steer.targets import TARGET_HELP
from hpo_cli.verbs.arguments import OUTPUTS_VARIABLE, RUN_HELP, Parser, reading_parser
from hpo_cli.verbs.children import Parent, make_child, past, read_parent, train_child
from hpo_cli.verbs.composing import composed
from hpo_cli.verbs.inheriting import absolute, key_of
from hpo_cli.verbs.trusting import add_allow

ABOUT = "A child of a run: it begins with its parent's state at one of its steps, and may have other settings."


@dataclass(frozen=True)
class Wish:
    """What is asked of a child. at: where it leaves its parent, as `--at` has it; overrides: its own words."""

    overrides: Sequence[str] = ()
    at: str = "last"
    partial: bool = False


def main(argv: Sequence[str]) -> int:
    """Make a child and train it; the exit code. Raises UserError."""
    parser = branching_parser("branch", about=ABOUT)
    parser.add_argument("--partial", action="store_true", help="take over the weights that fit, start the others anew")
    parser.add_argument("--name", metavar="NAME", help="the child's name (default: its parent's)")
    parser.add_argument("--no-train", action="store_true", help="only make the folder; hpo-run resume=CHILD trains it")
    args, words = read_overrides(parser, argv)
    named = [*words, f"name={args.name}"] if args.name else words
    parent = read_parent(find_run(args.run, args.outputs), allow=args.allow)
    with redirect_stdout(sys.stderr if args.json else sys.stdout):
        child = branch(parent, Wish(named, args.at, partial=args.partial))
        code = 0 if args.no_train else train_child(child)
    if args.json:
        write_json(read_run(child).to_json())
    elif args.no_train:
        write([line(Span("run   ", "dim"), str(child)), line(Span("next  ", "dim"), f"hpo-run resume={child}")])
    return code


def branching_parser(verb: str, *, about: str) -> Parser:
    """A parser of a run, a place in its past, and overrides."""
    parser = reading_parser(verb, about=about)
    parser.usage = f"{parser.prog} RUN [options] [key=value ...]"
    parser.add_argument("run", metavar="RUN", help=RUN_HELP)
    help_text = f"where it leaves RUN: {TARGET_HELP}, or last: where RUN stands (default)"
    parser.add_argument("--at", metavar="PLACE", default="last", help=help_text)
    add_allow(parser)
    return parser


def read_overrides(parser: Parser, argv: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    """What the parser knows, and the overrides; they land in the same outputs. Raises UserError."""
    args, rest = parser.parse_known_args(list(argv))
    words = [word for word in rest if not word.startswith("-")]
    if len(words) < len(rest):
        parser.read([args.run, *(word for word in rest if word.startswith("-"))])
    if strange := [word for word in words if "=" not in word and word[0] != "~"]:
        parser.error(f"{strange[0]}: not an override; write key=value")
    given = [word.partition("=")[2] for word in words if key_of(word) == "outputs"]
    if given:
        args.outputs = given[-1]
    elif args.outputs != (os.environ.get(OUTPUTS_VARIABLE) or "outputs"):
        words.append(f"outputs={args.outputs}")
    return args, words


def branch(parent: Parent, wish: Wish) -> Path:
    """A child's new folder, with the state that it begins with. Raises UserError before anything is made."""
    goal = parent.goal(wish.at)
    heir = parent.heir(goal, [absolute(word, parent.setting_at(goal)) for word in wish.overrides])
    found = composed(heir.words)
    write([line(Span("note  ", "yellow"), said) for said in heir.dropped])
    state = past(parent, goal)
    check_length(parent, found.plan, state)
    if wish.overrides:
        from hpo_cli.engine.branching import check_child

        check_child(found.plan, state, partial=wish.partial)
    changes = [word for word in heir.changes if key_of(word) not in ("outputs", "name")]
    return make_child(found, Birth(parent, goal, state, partial=wish.partial, more={"changes": changes}))
