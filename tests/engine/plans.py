"""Plans from words, and live training without Lightning, for the engine's tests."""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch

from hpo_cli.compose import compose
from hpo_cli.engine import checkpoints
from hpo_cli.engine.assembly import build_system, load_splits
from hpo_cli.engine.backend import Backend
from hpo_cli.engine.batches import DeviceBatches, Pair, dtype_of, order_of, tensors
from hpo_cli.engine.loop import TrainingLoop
from hpo_cli.engine.progress import SilentReporter
from hpo_cli.engine.step import Stepper
from hpo_cli.engine.stop import StopFlag
from hpo_cli.plan import RunPlan, plan_from_dict
from hpo_cli.record.start import start_run
from hpo_cli.validate import plan_from_config

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from hpo_cli.components.data.arrays import Splits
    from hpo_cli.engine.system import System

DEFAULTS = ("trainer=cpu", "trainer.threads=1")
SMALL = ("data.subset=0.1", "epochs=2", "model.width=16", "trainer.log_every_steps=1")
"""126 digits, two epochs of four batches, every step a row."""


@functools.cache
def plan(*words: str, outputs: Path | str = "outputs") -> RunPlan:
    """The plan of these words on one CPU thread; its runs land in `outputs`."""
    found = compose([*DEFAULTS, *words, f"outputs={outputs}"])
    return plan_from_config(found.job, choices=found.choices)


def varied(base: RunPlan, section: str, **values: Any) -> RunPlan:
    """`base` with other values in a section; a hundred times as fast as composing again."""
    config = json.loads(json.dumps(base.to_dict()))
    (config[section] if section else config).update(values)
    return plan_from_dict(config)


def splits_of(plan: RunPlan) -> Splits:
    """The plan's data, loaded once for equal keys."""
    return _splits(json.dumps({"data": plan.config["data"], "choice": plan.choices["data"]}), _Hidden(plan))


class _Hidden:
    """A plan that a cache does not look at."""

    def __init__(self, plan: RunPlan) -> None:
        self.plan = plan

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Hidden)

    def __hash__(self) -> int:
        return 0


@functools.cache
def _splits(key: str, hidden: _Hidden) -> Splits:
    return load_splits(hidden.plan.data)


@dataclass
class MemoryRecorder:
    """Keeps what the loop finds."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    states: dict[int, dict[str, Any]] = field(default_factory=dict)
    best: dict[int, dict[str, Any]] = field(default_factory=dict)

    def row(self, row: Mapping[str, Any]) -> None:
        self.rows.append(dict(row))

    def improved(self, step: int, state: Mapping[str, Any], *, line: Sequence[str]) -> None:
        self.best[step] = checkpoints.snapshot(dict(state))

    def checkpoint(self, state: Mapping[str, Any], *, step: int, **told: Any) -> None:
        self.states[step] = checkpoints.snapshot(dict(state))


def new_loop(
    plan: RunPlan, *, backend: Backend | None = None, train: Any = None, system: System | None = None
) -> TrainingLoop:
    """A loop over a new system, or over `system`, without Lightning. It writes to a MemoryRecorder."""
    torch.set_num_threads(1)
    backend = backend or Backend()
    splits, dtype = splits_of(plan), dtype_of(plan)
    system = system or build_system(plan, splits)
    system.model.to(dtype)
    order = order_of(plan, carries=bool(system.carriers))
    source = train or DeviceBatches(arrays(plan, "train"), order=order, shard=backend.shard)
    stepper = Stepper(system, backend, seed=plan.seed)
    val = arrays(plan, "val")
    return TrainingLoop(plan, stepper, train=source, val=val, recorder=MemoryRecorder(), reporter=SilentReporter())


def arrays(plan: RunPlan, part: str) -> Pair:
    """A part of the data as tensors on the CPU, in the precision of the plan."""
    dtype = dtype_of(plan)
    return tensors(getattr(splits_of(plan), part), device=torch.device("cpu"), dtype=dtype)


def finish(loop: TrainingLoop) -> TrainingLoop:
    """Train to the end."""
    loop.begin()
    while not loop.finished:
        loop.advance(7, StopFlag())
    return loop


def trained(plan: RunPlan) -> TrainingLoop:
    """A loop that has trained to the end."""
    return finish(new_loop(plan))


def rows_of(loop: TrainingLoop) -> list[dict[str, Any]]:
    """What the loop wrote."""
    recorder = loop._recorder
    assert isinstance(recorder, MemoryRecorder)
    return recorder.rows


def weights_of(loop: TrainingLoop) -> str:
    """The hash of the loop's weights and buffers."""
    return checkpoints.weights_sha256(loop.system.model.state_dict().items())


def folder_for(plan: RunPlan) -> Path:
    """A new run folder."""
    return start_run(plan, command=["hpo-run"], overrides=[], hydra_files={})
