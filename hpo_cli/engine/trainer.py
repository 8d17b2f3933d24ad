"""The Lightning Trainer of a run."""

from __future__ import annotations

from pathlib import Path

import torch

from hpo_cli.engine.lightning import LightningEnvironment, MisconfigurationException, pl
from hpo_cli.engine.loggers import make_logger
from hpo_cli.engine.ranks import LocalRanks, Ranks
from hpo_cli.errors import ConfigError
from hpo_cli.plan import RunPlan


def make_trainer(plan: RunPlan, *, folder: Path, ranks: Ranks | None, after: int = 0) -> pl.Trainer:
    """A Lightning Trainer that owns devices and precision and leaves loops, records and bars to us.

    after: the step from which training goes on.
    """
    logger = None if ranks and ranks.rank else make_logger(plan, folder, after=after)
    try:
        return pl.Trainer(
            accelerator=plan.trainer.accelerator,
            devices=plan.trainer.devices,
            strategy="ddp" if ranks else "auto",
            precision=plan.trainer.precision,  # type: ignore[arg-type]
            deterministic=_deterministic(plan),
            plugins=[LocalRanks(ranks) if ranks else LightningEnvironment()],  # a scheduler's own is none of ours
            max_epochs=1,
            logger=logger or False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            default_root_dir=folder,
            use_distributed_sampler=False,
        )
    except (MisconfigurationException, ValueError, RuntimeError) as error:
        line = " ".join(str(error).split())
        raise ConfigError("trainer.accelerator", plan.trainer.accelerator, rule=line, fix="try trainer=cpu") from error


def _deterministic(plan: RunPlan) -> bool | None:
    """None leaves torch's setting alone, which is right unless an earlier run of this process changed it.

    Even switching it off imports torch's compiler, 1.5 s.
    """
    return (
        plan.trainer.deterministic
        if plan.trainer.deterministic != torch.are_deterministic_algorithms_enabled()
        else None
    )


def device_of(accelerator: str) -> str:
    """The kind of device that Lightning takes for an accelerator on this machine."""
    if accelerator == "cpu":
        return "cpu"
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"
