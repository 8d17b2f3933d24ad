"""An app as Hydra's documentation has it: the sweeper and the launcher are chosen on the command line."""

from __future__ import annotations

from dataclasses import dataclass

import hydra
from hydra.core.config_store import ConfigStore
from training import train


@dataclass
class Config:
    lr: float = 1e-3


ConfigStore.instance().store(name="config", node=Config)


@hydra.main(version_base=None, config_path=None, config_name="config")
def main(config: Config) -> float:
    return train(config.lr)


if __name__ == "__main__":
    main()
