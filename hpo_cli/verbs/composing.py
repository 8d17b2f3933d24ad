"""The words of commands that compose a config: overrides and a few of Hydra's flags."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from hpo_cli.errors import UserError
from hpo_cli.options import main_config
from hpo_cli.verbs.arguments import Parser

if TYPE_CHECKING:
    from hpo_cli.compose import Composition
    from hpo_cli.plan import RunPlan

AUTO = "auto"
"""A batch size that means: the largest that fits in memory."""


@dataclass(frozen=True)
class ComposeWords:
    """Overrides, and where options are looked for."""

    overrides: tuple[str, ...]
    config_dir: Path | None
    config_name: str

    @property
    def command(self) -> list[str]:
        """The words of the command that composes this again."""
        flags = [] if self.config_dir is None else ["--config-dir", str(self.config_dir)]
        named = [] if self.config_name == "config" else ["--config-name", self.config_name]
        return ["hpo-run", *flags, *named, *self.overrides]


@dataclass(frozen=True)
class Composed:
    """A composed config and the plan that it makes. words: those that compose it again, here and elsewhere."""

    words: ComposeWords
    composition: Composition
    plan: RunPlan


def composing_parser(verb: str, *, about: str) -> Parser:
    """A parser for overrides, --config-dir and --config-name."""
    parser = Parser(verb, about=about)
    parser.usage = f"{parser.prog} [options] [key=value ...]"
    parser.add_argument("--config-dir", "-cd", metavar="DIR", help="a folder of further options: DIR/model/mine.yaml")
    parser.add_argument("--config-name", "-cn", metavar="NAME", default="config", help="another main config")
    return parser


def read_words(parser: Parser, argv: Sequence[str]) -> tuple[ComposeWords, argparse.Namespace]:
    """The composing words of `argv`, and all that the parser found. Raises UserError."""
    args, rest = parser.parse_known_args(list(argv))
    overrides = tuple(word for word in rest if not word.startswith("-"))
    if len(overrides) < len(rest):
        parser.read([word for word in rest if word.startswith("-")])
    config_dir = Path(args.config_dir) if args.config_dir else None
    if config_dir is not None and not config_dir.is_dir():
        raise UserError(f"--config-dir {config_dir}: no such folder; give one that holds group folders such as model/")
    return ComposeWords(overrides, config_dir, args.config_name), args


def composed(words: ComposeWords) -> Composed:
    """Compose and check; `batch_size=auto` becomes the number that fits. Raises ConfigError naming every problem."""
    from hpo_cli.compose import compose
    from hpo_cli.validate import plan_from_config

    composition = compose(words.overrides, config_dir=words.config_dir, config_name=words.config_name)
    if composition.job.get("batch_size") != AUTO:
        plan = plan_from_config(composition.job, choices=composition.choices, config_dir=words.config_dir)
        return Composed(words, composition, plan)
    size = _fitting_batch_size(composition, words)
    rest = [word for word in words.overrides if not word.startswith("batch_size=")]
    return composed(replace(words, overrides=(*rest, f"batch_size={size}")))


def _fitting_batch_size(composition: Composition, words: ComposeWords) -> int:
    """What `batch_size=auto` is on this machine; everything else in the config is checked first.

    A cross-validation is measured on its first fold: samples are dealt like cards, so it trains on the fewest.
    """
    from hpo_cli.validate import plan_from_config

    job = {**composition.job, "batch_size": main_config().defaults["batch_size"]}
    data = job.get("data")
    if isinstance(data, dict) and isinstance(data.get("folds"), int) and data.get("fold") is None:
        job["data"] = {**data, "fold": 1}
    plan = plan_from_config(job, choices=composition.choices, config_dir=words.config_dir)
    from hpo_cli.engine.fitting import fitting_batch_size

    return fitting_batch_size(plan)
