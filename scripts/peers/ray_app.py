"""Ray Tune as its documentation has it with Lightning: a function trainable, one CPU a trial."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("RAY_AUTH_MODE", "token")
os.environ.setdefault("RAY_AUTH_TOKEN_PATH", str(Path(tempfile.mkdtemp()) / "token"))
Path(os.environ["RAY_AUTH_TOKEN_PATH"]).write_text("0123456789abcdef0123456789abcdef0123456789abcdef")

import ray  # noqa: E402 - reads the variables above
from ray import tune  # noqa: E402
from ray.tune.integration.pytorch_lightning import TuneReportCallback  # noqa: E402
from training import train  # noqa: E402


def trainable(config: dict) -> None:
    report = TuneReportCallback({"accuracy": "val/accuracy"}, on="validation_end")
    train(config["lr"], callbacks=(report,))


def main() -> None:
    ray.init(address="local", num_cpus=int(sys.argv[2]), include_dashboard=False, logging_level="ERROR")
    tuner = tune.Tuner(
        tune.with_resources(trainable, {"cpu": 1}),
        param_space={"lr": tune.loguniform(1e-4, 1e-2)},
        tune_config=tune.TuneConfig(metric="accuracy", mode="max", num_samples=int(sys.argv[1])),
        run_config=tune.RunConfig(storage_path=tempfile.mkdtemp(), verbose=0),
    )
    tuner.fit()
    ray.shutdown()


if __name__ == "__main__":
    main()
