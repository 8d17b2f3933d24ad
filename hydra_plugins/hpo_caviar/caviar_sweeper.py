"""What Hydra finds when it looks for plugins: imported at the start of every Hydra app, so it imports little.

Hydra executes the file before it is in `sys.modules`, where dataclasses look up annotations that are strings: so there
is no `from __future__ import annotations` here.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.utils import JobReturn
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


@dataclass
class CaviarSweeperConf:
    """The keys `hydra.sweeper.*`.

    search: grid, random, qmc, tpe, gp, cmaes; None: grid for plain lists, else random.   trials: how many in all, those
    of earlier calls included; None: every setting of a grid, else 20.   batch: jobs that the launcher gets at once;
    None: all there are, or one when the search learns from the ones before.   max_batch_size: never more at once.
    direction: minimize or maximize what the app returns; a list when it returns several values.   seed: of the search.
    startup: random trials before a search begins to learn.   on_failure: continue: the others run, then the first
    failure is raised; stop: no further batch; ignore: continue, and nothing is raised.   retries: how often a job whose
    process died is run again.   duplicates: allow: a setting that was run already is run again.   params: key -> words
    that the command line may override, such as `lr: interval(1e-4,1e-1)`.
    """

    _target_: str = "hydra_plugins.hpo_caviar.caviar_sweeper.CaviarSweeper"
    search: str | None = None
    trials: int | None = None
    batch: int | None = None
    max_batch_size: int | None = None
    direction: Any = "minimize"
    seed: int = 0
    startup: int = 10
    on_failure: str = "continue"
    retries: int = 1
    duplicates: str = "skip"
    params: dict[str, Any] | None = None


ConfigStore.instance().store(group="hydra/sweeper", name="caviar", node=CaviarSweeperConf, provider="hpo-run")


class CaviarSweeper(Sweeper):
    """Grids in Hydra's order, searches that learn from what the app returns; a failed job is a failed trial.

    The sweep's folder (`hydra.sweep.dir`) keeps a record: the same command with the same folder goes on.
    """

    def __init__(self, **options: Any) -> None:
        self.options = CaviarSweeperConf(**options)
        self.hydra_context: HydraContext | None = None
        self.config: DictConfig | None = None
        self.launcher: Any = None
        self.folder = Path()

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """What Hydra calls before `sweep`."""
        from hydra.core.plugins import Plugins

        from hydra_plugins.hpo_caviar._job import JOBS, RecordedTask

        self.hydra_context, self.config = hydra_context, config
        self.folder = Path(str(config.hydra.sweep.dir)).absolute()
        task = RecordedTask(task_function, self.folder / JOBS)
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task, config=config
        )

    def sweep(self, arguments: list[str]) -> list[Sequence[JobReturn]]:
        """Run the jobs that `arguments` ask for; their returns, batch by batch, earlier calls' in the first one.

        Raises HydraException for what cannot be swept, and the first failed job's own exception once all have run.
        """
        from hydra_plugins.hpo_caviar._sweep import sweep

        if self.config is None or self.hydra_context is None:
            raise RuntimeError("setup comes before sweep")
        return sweep(self, arguments)
