"""The entry point: a verb and its words, or overrides for a training run. Errors become one line and an exit code."""

from __future__ import annotations

import importlib
import os
import signal
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

from hpo_cli.engine.stop import StoppedError
from hpo_cli.errors import UserError, did_you_mean, printable

VERBS = {
    "ls": "list runs and sweeps, newest first; ls SWEEP lists its trials",
    "show": "what a run or a sweep is, how it went, and the command that makes it again",
    "curves": "draw the loss and the metric of runs in the terminal",
    "diff": "what differs between two runs: config and results",
    "watch": "a run on a full screen while it trains: curves, knobs, keys to steer it",
    "nudge": "change hot knobs of a run while it trains: nudge RUN lr=3e-4",
    "pause": "let a run wait between two steps; unpause lets it go on",
    "unpause": "let a paused run go on",
    "stop": "let a run save its state and end",
    "checkpoint": "save a run's state now and keep it: checkpoint RUN --tag good",
    "rollback": "take a run back to an earlier step, epoch or tag",
    "branch": "a child of a run, from any of its steps, with other settings",
    "twin": "two children of a run, with a nudge and without: did it help?",
    "tree": "the family of runs, with the best value of each",
    "replay": "train a run again with its nudges, to the same weights",
    "export": "a run's nudges as a config with a schedule, for another model",
    "verify-resume": "kill a run at random moments, resume it, compare every bit",
    "best": "the leaderboard of a sweep, what mattered, and the command that trains the winner",
    "report": "a sweep as one HTML page: leaderboard, curves, importance, what failed",
    "sweep": "where a sweep stands, or change it while it runs: sweep SWEEP workers=4 trials+=20",
    "sensitivity": "a sweep of one knob at a time round a base point",
    "explore": "look at the data: classes, features, copies, outliers, samples",
    "check": "build everything and run one batch, save nothing",
    "gradcheck": "compare every gradient of the model and loss with finite differences",
    "results": "what a run gets right and wrong: classes, confusions, worst mistakes",
    "average": "average the weights of a run's best checkpoints",
    "test": "evaluate a run's best model, or an ensemble, on the test split, once",
    "folds": "mean and deviation over the folds of a cross-validation",
    "completion": "print the completion script of a shell",
}
"""Verb -> what it does, one line; each lives in `hpo_cli.verbs.<verb>` (`-` is `_` there)."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command. Exit codes: 0 good, 1 the run failed, 2 the command was wrong, 128 + n after a signal."""
    words = list(sys.argv[1:] if argv is None else argv)
    _open_closed_streams()
    try:
        return _dispatch(words)
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except StoppedError as stop:
        print(f"stopped by {stop} before training began", file=sys.stderr)  # noqa: T201
        return stop.exit_code
    except UserError as error:
        if os.environ.get("HYDRA_FULL_ERROR") == "1":
            traceback.print_exc()
        else:
            print(printable(str(error)), file=sys.stderr)  # noqa: T201 - the one place that speaks of errors
        return error.exit_code
    except Exception as error:
        if os.environ.get("HYDRA_FULL_ERROR") == "1":
            raise
        text = printable(" ".join(str(error).split()))
        print(f"internal error: {type(error).__name__}: {text}; HYDRA_FULL_ERROR=1 shows where", file=sys.stderr)  # noqa: T201
        return 1


HINTS = {
    "train": "hpo-run alone trains: leave the word out",
    "run": "hpo-run alone trains: leave the word out",
    "help": "did you mean --help?",
}


def _as_override(words: Sequence[str]) -> str:
    """`epochs 5` and `lr:0.1` as they should have been written."""
    key, _, value = words[0].partition(":")
    value = value or next(iter(words[1:2]), "")
    return f"did you mean {key}={value}?" if value and "=" not in value else ""


def _open_closed_streams() -> None:
    """A command may be started without standard output or error (`>&-`)."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115 - for the whole process


def _dispatch(words: list[str]) -> int:
    verb = words[0] if words else ""
    if verb in VERBS:
        code: int = importlib.import_module(f"hpo_cli.verbs.{verb.replace('-', '_')}").main(words[1:])
        return code
    if verb and "=" not in verb and verb[0] not in "-+~":
        near = HINTS.get(verb) or did_you_mean(verb, VERBS) or _as_override(words)
        known = ", ".join(VERBS)
        raise UserError(
            f"{verb}: no verb of hpo-run ({known}) and no override (key=value); {near or 'see hpo-run --help'}"
        )
    from hpo_cli.verbs import train

    return train.main(words)


if __name__ == "__main__":
    sys.exit(main())
