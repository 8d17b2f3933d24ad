"""`hpo-run verify-resume [overrides] kills=20`: compares a run that was killed and resumed with one that was not."""

from __future__ import annotations

import re
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from hpo_cli.console import styles
from hpo_cli.console.output import Span, line, write, write_json
from hpo_cli.errors import UserError
from hpo_cli.verbs.composing import AUTO, Composed, ComposeWords, composed, composing_parser, read_words

if TYPE_CHECKING:
    from hpo_cli.engine.verify import Verdict

ABOUT = (
    "Train your configuration straight through, and once more killed at random moments and resumed; compare every bit. "
    "kills=N says how often (20), kill_seed=N which moments (the run's seed)."
)
FORCED = ("trainer.log_every_steps=1", "logger=none")
OWN_WORDS = {"kills": 20, "kill_seed": None}
FAILED = 1
MOST_STEPS = 12
"""So many steps are named one by one."""


def main(argv: list[str]) -> int:
    """Say `identical` (0), or what differs first (1); the folders of a difference are kept."""
    parser = composing_parser("verify-resume", about=ABOUT)
    parser.add_argument("--moment", action="append", metavar="NAME", help="kill at this moment alone; can be repeated")
    parser.add_argument(
        "--nudge", action="append", default=[], metavar="KEY=VALUE@step=N", help="a nudge that both runs are given"
    )
    parser.add_argument("--json", action="store_true", help="print JSON for another program")
    words, args = read_words(parser, argv)
    own, words = _own_words(words)
    found = _composed_for_killing(words)
    from hpo_cli.engine.verify import Order, check_names, verify

    check_names(args.moment or ())
    root = _temporary_folder(found)
    order = Order(
        folder=root,
        kills=own["kills"],
        seed=found.plan.seed if own["kill_seed"] is None else own["kill_seed"],
        moments=args.moment,
        commands=commands_of(args.nudge),
        saves_by_steps=found.plan.checkpoint.every_steps is not None,
    )
    try:
        verdict = verify(Runs(found), order, say=_say)
    except BaseException:
        shutil.rmtree(root, ignore_errors=True)
        raise
    if args.json:
        write_json(_to_dict(verdict, root))
    else:
        write([line(Span(*head), *rest) for head, *rest in _report(verdict, root)])
    if not verdict.differs:
        shutil.rmtree(root)
    return FAILED if verdict.differs else 0


class Runs:
    """A composed run, started and resumed as the commands do it."""

    def __init__(self, found: Composed) -> None:
        self._found = found

    def start(self, folder: Path, *, words: Sequence[str]) -> int:
        """See engine.verify.Runs."""
        return _train([*self._found.words.command[1:], *words, f"hydra.run.dir={folder}"])

    def resume(self, folder: Path) -> int:
        """See engine.verify.Runs."""
        return _train([f"resume={folder}"])


def _train(words: list[str]) -> int:
    from hpo_cli.verbs import train

    try:
        return train.main(words)
    except UserError as error:
        _say(str(error))
        return error.exit_code


def _own_words(words: ComposeWords) -> tuple[dict[str, Any], ComposeWords]:
    """kills=N and kill_seed=N, and the words that are left for the config."""
    own: dict[str, Any] = dict(OWN_WORDS)
    rest: list[str] = []
    for word in words.overrides:
        key, _, value = word.partition("=")
        if key not in OWN_WORDS:
            rest.append(word)
        elif value.isdecimal() and (int(value) or key != "kills"):
            own[key] = int(value)
        else:
            raise UserError(f"{word}: must be a whole number{', 1 or more' if key == 'kills' else ''}")
    return own, replace(words, overrides=tuple(rest))


def _composed_for_killing(words: ComposeWords) -> Composed:
    """The user's run with every step in its metrics, one thread, and no logger beside our own."""
    if f"batch_size={AUTO}" in words.overrides:
        raise UserError(f"batch_size={AUTO}: must be a number here; hpo-run check prints the one that fits")
    keys = {word.partition("=")[0] for word in words.overrides}
    if of_one_run := keys & {"hydra.run.dir", "resume", "branch", "watch"}:
        raise UserError(
            f"{min(of_one_run)}: the runs of a verification are new ones, in folders of their own; leave it out"
        )
    forced = [word for word in FORCED if word.partition("=")[0] not in keys or word == FORCED[0]]
    threads = [] if "trainer.threads" in keys else ["trainer.threads=1"]
    kept = [word for word in words.overrides if word.partition("=")[0] not in ("trainer.log_every_steps", "logger")]
    kept = [word for word in kept if not word.startswith("logger.")]
    found = composed(replace(words, overrides=(*kept, *forced, *threads)))
    if found.plan.data.folds is not None and found.plan.data.fold is None:
        raise UserError("data.folds: a cross-validation is many runs; verify one of them with data.fold=1")
    return found


def _temporary_folder(found: Composed) -> Path:
    """On the file system of the user's own runs, hidden from `ls`."""
    outputs = Path(found.plan.outputs)
    outputs.mkdir(parents=True, exist_ok=True)
    return Path(tempfile.mkdtemp(prefix=".verify-resume-", dir=outputs)).resolve()


_NUDGE = re.compile(r"(?P<key>[\w.]+)(?P<op>[*/+-]?=)(?P<value>[^@]+)@(?P<unit>step|epoch)=(?P<at>\d+)")


def commands_of(nudges: Sequence[str]) -> dict[str, dict[str, object]]:
    """Command files (name -> content) for `lr/=2@step=30`; the same words give the same files. Raises UserError."""
    commands: dict[str, dict[str, object]] = {}
    for index, text in enumerate(nudges):
        found = _NUDGE.fullmatch(text)
        if found is None:
            raise UserError(f"--nudge {text}: must look like lr/=2@step=30 or regularization.dropout=0.3@epoch=2")
        name = f"{index + 1:020d}-{index:08x}"
        args = {
            "changes": {found["key"]: [found["op"], yaml.safe_load(found["value"])]},
            "due": {found["unit"]: int(found["at"])},
        }
        sent = "2000-01-01T00:00:00+00:00"
        commands[name] = {"id": name, "verb": "nudge", "args": args, "who": "verify", "why": "", "sent": sent}
    return commands


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)  # noqa: T201 - progress beside the answer


def _report(verdict: Verdict, root: Path) -> list[tuple[Any, ...]]:
    if not verdict.differs:
        return [(("identical", styles.GOOD), f": {counts(verdict)}")]
    lines: list[tuple[Any, ...]] = [(("different", styles.BAD), f": {verdict.differs[0]}")]
    lines += [(("", ""), f"  {text}") for text in verdict.differs[1:]]
    if verdict.alone:
        lines.append((("", ""), f"  without any kill a second run differs too: {verdict.alone[0]}"))
        lines.append((("", ""), "  so it is not resuming that fails: try trainer.deterministic=true or trainer=cpu"))
    lines.append((("", ""), f"  after {counts(verdict)}"))
    lines.append((("", ""), f"  kept: {root}"))
    return lines


def counts(verdict: Verdict) -> str:
    """What was done, in words."""
    steps = sorted(set(verdict.resumed_from))
    named = (
        ", ".join(map(str, steps)) if len(steps) <= MOST_STEPS else f"{steps[0]} .. {steps[-1]} ({len(steps)} of them)"
    )
    resumes = f"{len(verdict.resumed_from)} resumes" + (f" from steps {named}" if steps else "")
    moments = ", ".join(f"{count} {name}" for name, count in sorted(verdict.kills.items()))
    return (
        f"{verdict.num_kills} kills ({moments}), {resumes}, {verdict.from_start} kills before the first checkpoint, "
        f"{verdict.lives} runs of {verdict.steps} steps against a straight one: {verdict.tensors} tensors, "
        f"{verdict.rows} rows, {verdict.validations} validations, weights {verdict.sha256[:12]}"
    )


def _to_dict(verdict: Verdict, root: Path) -> dict[str, object]:
    folder = {"folder": str(root)} if verdict.differs else {}
    return {"identical": not verdict.differs, **vars(verdict), "kills": dict(verdict.kills), **folder}
