"""Optuna as its documentation has it for several processes: one journal, the same script in each."""

from __future__ import annotations

import sys

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from training import train


def objective(trial: optuna.Trial) -> float:
    return train(trial.suggest_float("lr", 1e-4, 1e-2, log=True))


def main() -> None:
    num_trials, journal = int(sys.argv[1]), sys.argv[2]
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        study_name="digits", storage=JournalStorage(JournalFileBackend(journal)), direction="maximize",
        load_if_exists=True,
    )  # fmt: skip
    study.optimize(objective, n_trials=num_trials)


if __name__ == "__main__":
    main()
