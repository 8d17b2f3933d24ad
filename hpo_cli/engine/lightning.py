"""Lightning, imported quietly."""

from __future__ import annotations

import logging
import warnings

for name in ("pytorch_lightning", "lightning_fabric", "lightning.pytorch"):
    logging.getLogger(name).setLevel(logging.ERROR)

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import pytorch_lightning as pl

__all__ = ["pl"]
