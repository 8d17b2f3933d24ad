"""`hpo-run [overrides]`: compose, check, train, say how it went."""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING

from hpo_cli.errors import UserError
from hpo_cli.validate import plan_from_config
from hpo_cli.verbs.composing import Composed, ComposeWords, composed, composing_parser, read_words

if TYPE_CHECKING:
    from pathlib import Path

    from hpo_cli.engine.stop import StopFlag, StoppedError
    from hpo_cli.engine.train import Training
    from hpo_cli.record.lease import Lease


def main(argv: list[str]) -> int:
    """Train the run that `argv` describes, or print help or its config."""
    if any(word in ("-h", "--help") for word in argv):
        from hpo_cli.verbs.overview import print_help

        return print_help([word for word in argv if word not in ("-h", "--help")])
    parser = composing_parser("", about="Train one run.")
    parser.add_argument("--cfg", "-c", choices=("job", "hydra", "all"), help="print the composed config and stop")
    parser.add_argument("--resolve", action="store_true", help="with --cfg: resolve interpolations")
    parser.add_argument("--multirun", "-m", action="store_true", help="a sweep: many settings, each a run")
    parser.add_argument("--dry-run", action="store_true", help="with -m: list the trials and what they would cost")
    parser.add_argument("--version", action="store_true")
    parser.add_argument("--allow", action="append", default=[], metavar="MODULE")
    words, args = read_words(parser, argv)
    if args.version:
        return _print_version()
    if args.multirun or args.dry_run:
        from hpo_cli.verbs.multirun import dry_run, multirun

        return (dry_run if args.dry_run else multirun)(words, allow=args.allow)
    if any(word.partition("=")[0] in ("resume", "branch", "watch") for word in words.overrides):
        from hpo_cli.verbs.resuming import going_on

        return going_on(argv, words, allow=args.allow)
    if args.cfg:
        return _print_config(words, which=args.cfg, form="resolved" if args.resolve else "raw")
    return _train(words)


def _train(words: ComposeWords) -> int:
    found = composed(words)
    stop = new_stop()  # before the long imports, which a KeyboardInterrupt would leave half done
    if found.plan.data.folds is not None and found.plan.data.fold is None:
        from hpo_cli.verbs.folds import train_folds

        return train_folds(found, stop)
    return train_one(found, stop)


def new_stop() -> StopFlag:
    """A flag that Ctrl-C and SIGTERM set from now on."""
    from hpo_cli.engine.stop import StopFlag

    stop = StopFlag()
    stop.install()
    return stop


def train_one(found: Composed, stop: StopFlag, *, at: str | None = None) -> int:
    """Train one run and say how it went; the exit code. at: its folder, when it is not the one of the words."""
    from hpo_cli.console.training import announce, training_reporter
    from hpo_cli.engine.stop import StoppedError
    from hpo_cli.record.start import start_run

    words, composition, plan = found.words, found.composition, found.plan
    with training_reporter(plan) as reporter:
        from hpo_cli.engine.train import Training

        check = partial(plan_from_config, config_dir=words.config_dir)
        training = Training(plan, reporter=reporter, stop=stop, check=check)
        if stop.signum is not None:
            raise StoppedError(stop.signum)
        files, at = composition.hydra_files, at or composition.run_dir
        folder = start_run(plan, command=words.command, overrides=words.overrides, hydra_files=files, at=at)
        reporter.close()
        announce(plan, folder, training.summary, started_from=training.started_from)
        return train_to_end(training, folder)


def train_to_end(training: Training, folder: Path, *, lease: Lease | None = None) -> int:
    """Train a run that has its folder, from where it stands; say how it went; the exit code."""
    from hpo_cli.console.training import conclude, run_reference
    from hpo_cli.engine.run import run
    from hpo_cli.engine.stop import StoppedError

    plan = training.plan
    try:
        outcome, stopped = run(training, folder, lease=lease), None
    except StoppedError as error:
        outcome, stopped = training.outcome("interrupted"), error
    except UserError as error:
        reference = run_reference(plan, folder)
        error.args = (f"{error}\nrun   {folder}\nnext  hpo-run show {reference}", *error.args[1:])
        raise
    conclude(plan, folder, outcome, stopped=_why_stopped(training, stopped))
    return stopped.exit_code if stopped else 0


def _why_stopped(training: Training, stopped: StoppedError | None) -> str:
    if stopped is not None:
        return f"by {stopped}"
    if training.ended is not None:
        why = training.ended.get("why")
        return f"by {training.ended['who']}{f': {why}' if why else ''}"
    return training.early_stop.get("stopped_early", "")


def _print_config(words: ComposeWords, *, which: str, form: str) -> int:
    from hpo_cli.compose import compose

    composition = compose(words.overrides, config_dir=words.config_dir, config_name=words.config_name)
    job = composition.resolved_yaml if form == "resolved" else composition.job_yaml
    parts = {"job": job, "hydra": composition.hydra_yaml, "all": job + composition.hydra_yaml}
    sys.stdout.write(parts[which])
    return 0


def _print_version() -> int:
    from hpo_cli import __version__

    sys.stdout.write(f"hpo-run {__version__}\n")
    return 0
