"""`hpo-run [overrides]`: compose, check, train, say how it went."""

from __future__ import annotations

import sys

from hpo_cli.errors import UserError
from hpo_cli.verbs.composing import Composed, ComposeWords, composed, composing_parser, read_words


def main(argv: list[str]) -> int:
    """Train the run that `argv` describes, or print help or its config."""
    if any(word in ("-h", "--help") for word in argv):
        from hpo_cli.verbs.overview import print_help

        return print_help([word for word in argv if word not in ("-h", "--help")])
    parser = composing_parser("", about="Train one run.")
    parser.add_argument("--cfg", "-c", choices=("job", "hydra", "all"), help="print the composed config and stop")
    parser.add_argument("--resolve", action="store_true", help="with --cfg: resolve interpolations")
    parser.add_argument("--multirun", "-m", action="store_true")
    parser.add_argument("--version", action="store_true")
    words, args = read_words(parser, argv)
    if args.version:
        return _print_version()
    if args.multirun:
        raise UserError("-m: this version trains one setting at a time; call hpo-run once for each")
    if args.cfg:
        return _print_config(words, which=args.cfg, form="resolved" if args.resolve else "raw")
    return _train(words, composed(words))


def _train(words: ComposeWords, found: Composed) -> int:
    from hpo_cli.console.training import announce, conclude, run_reference, training_reporter
    from hpo_cli.engine.stop import StopFlag, StoppedError
    from hpo_cli.record.start import start_run

    composition, plan = found.composition, found.plan
    stop = StopFlag()
    stop.install()  # before the long imports, which a KeyboardInterrupt would leave half done
    with training_reporter(plan) as reporter:
        from hpo_cli.engine.run import run
        from hpo_cli.engine.train import Training

        training = Training(plan, reporter=reporter, stop=stop)
        if stop.signum is not None:
            raise StoppedError(stop.signum)
        files, at = composition.hydra_files, composition.run_dir
        folder = start_run(plan, command=words.command, overrides=words.overrides, hydra_files=files, at=at)
        reporter.close()
        announce(plan, folder, training.summary)
        try:
            outcome, stopped = run(training, folder), None
        except StoppedError as error:
            outcome, stopped = training.outcome("interrupted"), error
        except UserError as error:
            error.args = (f"{error}\nrun   {folder}\nnext  hpo-run show {run_reference(plan, folder)}", *error.args[1:])
            raise
    why = f"by {stopped}" if stopped else training.early_stop.get("stopped_early", "")
    conclude(plan, folder, outcome, stopped=why)
    return stopped.exit_code if stopped else 0


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
