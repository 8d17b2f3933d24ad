"""Somebody else's app, for tests that run it in a process of its own. $APP_CALLS: a file with a line for each call."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from pathlib import Path

import hydra
from hydra.core.config_store import ConfigStore


@dataclass
class Config:
    x: float = 0.0
    trouble: str = "none"
    at: float = 2.0


ConfigStore.instance().store(name="config", node=Config)


@hydra.main(version_base=None, config_path=None, config_name="config")
def main(config: Config) -> float:
    with Path(os.environ["APP_CALLS"]).open("a") as file:
        file.write(f"{config.x:g}\n")
    if config.x == config.at:
        match config.trouble:
            case "raise":
                raise ValueError("two is too many")
            case "kill":
                os.kill(os.getpid(), signal.SIGKILL)
    return (config.x - 0.3) ** 2


if __name__ == "__main__":
    main()
