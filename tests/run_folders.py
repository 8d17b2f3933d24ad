"""Run folders written file by file as the contract has them, without the code that makes them in earnest."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import yaml

PLAN = {
    "lr": 0.001,
    "batch_size": 32,
    "epochs": 20,
    "seed": 0,
    "name": "digits",
    "optimizer": {"_target_": "torch.optim.Adam", "betas": [0.9, 0.999]},
    "model": {
        "_target_": "hpo_cli.components.models.mlp.mlp",
        "depth": 2,
        "width": 128,
        "activation": "relu",
    },
    "regularization": {"dropout": 0.0, "l2": 0.0, "clip_norm": None},
}
CHOICES = {"optimizer": "adam", "schedule": "constant", "model": "mlp", "data": "digits"}
ENVIRONMENT = {
    "python": "3.11.7",
    "platform": "Linux-6.1-x86_64",
    "hostname": "bench",
    "cores": 8,
    "packages": {"torch": "2.11.0", "pytorch-lightning": "2.6.1", "numpy": "2.4.6"},
    "git": {"commit": "0123456789abcdef0123456789abcdef01234567", "dirty": True},
}


ENDED = {"finished", "failed", "interrupted", "stopped"}


@dataclass(frozen=True)
class Run:
    """What a test wants to say about a run; the rest has defaults. value: the best of the objective."""

    id: str = "3f9c12"
    name: str = "digits"
    status: str = "finished"
    aim: str = "val/accuracy"
    mode: str = "max"
    value: float | None = 0.9772
    overrides: tuple[str, ...] = ("optimizer=adam",)
    plan: tuple[tuple[str, Any], ...] = ()
    minutes_old: float = 3.0
    epochs: int = 20
    cwd: str = "/home/ada/work"


def make_run(root: Path, run: Run | None = None, *, below: str | None = None) -> Path:
    """Writes the folder of a run: ledger, plan, metrics, and a result when it has ended."""
    run = run or Run()
    folder = root / (below or run.name) / run.id
    folder.mkdir(parents=True)
    (folder / "checkpoints").mkdir()
    rows = list(metric_rows(run))
    write_lines(folder / "ledger.jsonl", ledger_events(run))
    write_lines(folder / "metrics.jsonl", rows)
    plan = PLAN | {"name": run.name, "plan_id": run.id * 2, "choices": CHOICES} | dict(run.plan)
    (folder / "plan.yaml").write_text(yaml.safe_dump(plan, sort_keys=False))
    if run.status in ENDED:
        (folder / "result.json").write_text(json.dumps(result(run, rows)))
    return folder


def write_lines(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def ledger_events(run: Run) -> list[dict[str, Any]]:
    begin = datetime.now(UTC) - timedelta(minutes=run.minutes_old)
    started = {
        "event": "started",
        "step": 0,
        "run": run.id,
        "name": run.name,
        "plan_id": run.id * 2,
        "command": ["hpo-run", *run.overrides, f"name={run.name}"],
        "overrides": list(run.overrides),
        "cwd": run.cwd,
        "seed": 0,
        "choices": CHOICES,
        "objective": {"name": run.aim, "mode": run.mode},
        "lr": 0.001,
        "batch_size": 32,
        "epochs": 20,
        "environment": ENVIRONMENT,
    }
    counts = {str(digit): 120 + digit for digit in range(10)}
    data = {
        "event": "data",
        "step": 0,
        "train": 1245,
        "val": 192,
        "test": 360,
        "class_counts": {"train": counts},
    }
    saved = {
        "event": "checkpointed",
        "step": 200,
        "file": "checkpoints/last.ckpt",
        "sha256": "ab" * 32,
        "epoch": 4,
    }
    end = {"event": run.status, "step": 40 * run.epochs}
    if run.status == "failed":
        end["reason"] = "train/loss was nan at step 123"
    ended = [end] if run.status in ENDED else []
    return [
        {"at": (begin + timedelta(seconds=k)).isoformat(), **e} for k, e in enumerate([started, data, saved, *ended])
    ]


def metric_rows(run: Run) -> list[dict[str, Any]]:
    best = run.value if run.value is not None else 0.5
    shares = [epoch / max(1, run.epochs - 1) for epoch in range(run.epochs)]
    return [
        {
            "step": 40 * (epoch + 1),
            "epoch": epoch + 1,
            "train/loss": 2.3 * math.exp(-4 * share),
            "val/loss": 2.3 * math.exp(-3 * share) + 0.1 * share**2,
            run.aim: best * (1 - 0.8 * math.exp(-4 * share) * (1 - share)),
            "lr": 0.001,
        }
        for epoch, share in enumerate(shares)
    ]


def result(run: Run, rows: list[dict[str, Any]]) -> dict[str, Any]:
    names = [name for name in rows[-1] if name not in {"step", "epoch"}] if rows else []
    last = rows[-1] if rows else {}
    step = 40 * run.epochs
    return {
        "status": run.status,
        "objective": {"name": run.aim, "mode": run.mode, "value": run.value, "step": step},
        "metrics": {name: last[name] for name in names},
        "best": {name: {"value": last[name], "step": step} for name in names}
        | {run.aim: {"value": run.value, "step": step}},
        "steps": step,
        "epochs": run.epochs,
        "seconds": 12.345,
        "weights_sha256": "cd" * 32,
    }


def make_child(root: Path, parent: Path, run: Run, *, step: int, rows: list[dict[str, Any]]) -> Path:
    """A branch of the run in folder `parent` after `step` steps, which has these rows."""
    folder = make_run(root, run)
    started, *rest = [json.loads(text) for text in (folder / "ledger.jsonl").read_text().splitlines()]
    origin = {"run": parent.name, "path": str(parent), "step": step, "line": [], "partial": False}
    write_lines(folder / "ledger.jsonl", [started | {"parent": origin}, *rest])
    write_lines(folder / "metrics.jsonl", rows)
    return folder


def add_events(folder: Path, *events: dict[str, Any]) -> None:
    """Further lines at the end of a ledger."""
    with (folder / "ledger.jsonl").open("a") as file:
        file.writelines(json.dumps({"at": "2026-01-01T00:00:00+00:00", **event}) + "\n" for event in events)


def nudged(
    name: str, *, step: int, key: str = "lr", old: Any = 0.001, new: Any = 0.0003, **more: Any
) -> dict[str, Any]:
    """The event of a nudge."""
    knobs = {key: {"old": old, "new": new}}
    return {
        "event": "nudged",
        "id": name,
        "step": step,
        "knobs": knobs,
        "who": "ada@laptop",
        "why": "too noisy",
        **more,
    }
