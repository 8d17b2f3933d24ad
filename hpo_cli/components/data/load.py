"""The data of a plan as it is read: no torch, so that it can be looked at without training."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpo_cli.components.build import build
from hpo_cli.components.data.arrays import RawData
from hpo_cli.errors import ConfigError

if TYPE_CHECKING:
    from hpo_cli.plan import DataPlan

_TO_LEARN = {
    "classification": "classes",
    "regression": "numbers",
    "several": "columns of several kinds",
    "language": "tokens",
}


def load_raw(data: DataPlan, *, allow: tuple[str, ...] = ()) -> RawData:
    """What the data option of a plan gives. Raises ConfigError when it is no RawData, or none of this task."""
    raw = build(data.source, allow=allow, task=data.task)
    if not isinstance(raw, RawData):
        rule = f"gave {type(raw).__name__}, not RawData"
        raise ConfigError("data", data.source.option, rule=rule, fix="see docs/your-own.md")
    if raw.task != data.task:
        rule = f"data={data.source.option} has {_TO_LEARN[raw.task]} to predict"
        raise ConfigError("data.task", data.task, rule=rule, fix=f"set data.task={raw.task}")
    return raw
