"""Lightning, imported quietly: its messages go to run.log, not to the screen."""

from __future__ import annotations

import logging
import warnings

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import pytorch_lightning as pl

for name in ("pytorch_lightning", "lightning_fabric"):
    logger = logging.getLogger(name)
    logger.handlers.clear()
    logger.propagate = True

__all__ = ["pl"]
