"""Configurations that have a memory of some kind, small enough to be killed often."""

from __future__ import annotations

DIGITS = ("data.subset=0.12", "model.width=16", "epochs=4")
"""151 digits: five batches an epoch, the last one smaller."""
TEXT = (
    *("data=text", "data.subset=0.006", "data.val_fraction=0.01", "data.test_fraction=0.3", "data.window=16"),
    *("model.width=8", "model.embedding=4", "batch_size=24", "epochs=2"),
)
IMAGES = ("data.subset=0.12", "epochs=3", "model=cnn", "model.channels=4", "model.depth=2")
TWO = ("trainer.devices=2",)

EVERYTHING = (
    *("regularization.dropout=0.2", "model.norm=batch", "regularization.mixup=0.2", "regularization.clip_norm=1"),
    *("batch.accumulate=2", "schedule=plateau", "schedule.patience=0", "regularization.ema=0.9"),
    *("regularization.label_smoothing=0.1", "optimizer=adamw"),
)

MATRIX = {
    "shuffle": DIGITS,
    "dropout": (*DIGITS, "regularization.dropout=0.3"),
    "augmentation": (*IMAGES, "augment=standard"),
    "batch norm": (*DIGITS, "model.norm=batch"),
    "mixup": (*DIGITS, "regularization.mixup=0.2"),
    "cutmix": (*IMAGES, "regularization.cutmix=1.0"),
    "clipping": (*DIGITS, "regularization.clip_norm=0.1"),
    "accumulation": (*DIGITS, "batch.accumulate=3"),
    "plateau": (*DIGITS, "schedule=plateau", "schedule.patience=0", "lr=0.05"),
    "max_steps": (*DIGITS, "trainer.max_steps=13"),
    "average": (*DIGITS, "regularization.ema=0.9"),
    "schedule free": (*DIGITS, "optimizer=schedule_free"),
    "workers 0": (*DIGITS, "data.placement=workers", "data.num_workers=0"),
    "workers 2": (*DIGITS, "data.placement=workers", "data.num_workers=2"),
    "hidden state": TEXT,
    "early stopping": (*DIGITS, "epochs=40", "regularization.early_stopping=2", "lr=0.1"),
    "by minutes": (*DIGITS, "checkpoint.every_minutes=0.00003", "checkpoint.every_steps=1000"),
    "everything": (*DIGITS, *EVERYTHING),
}
"""What each kind of memory needs, in words."""
