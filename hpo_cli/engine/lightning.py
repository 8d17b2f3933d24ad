"""Lightning, imported once, quickly and quietly: its messages go to run.log, not to the screen."""

from __future__ import annotations

import logging
import warnings

from hpo_cli.engine.quick_import import deferring_dynamo, without_unused_packages

with warnings.catch_warnings(), without_unused_packages(), deferring_dynamo():
    warnings.simplefilter("ignore")
    import pytorch_lightning as pl
    from lightning_fabric.plugins.environments.cluster_environment import ClusterEnvironment
    from lightning_fabric.plugins.environments.lightning import LightningEnvironment
    from lightning_fabric.utilities.exceptions import MisconfigurationException

for name in ("pytorch_lightning", "lightning_fabric"):
    logger = logging.getLogger(name)
    logger.handlers.clear()
    logger.propagate = True

__all__ = ["ClusterEnvironment", "LightningEnvironment", "MisconfigurationException", "pl"]
