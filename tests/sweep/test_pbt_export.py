"""A real population of three: its winner's schedule, exported and trained once, ends with the winner's bits."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import yaml

from hpo_cli.record import ledger
from hpo_cli.record.line import is_adoption
from hpo_cli.record.metrics import read_metrics
from tests.command_line import child

SMALL = ("optimizer=momentum", "epochs=5", "model.width=16", "data.subset=0.2", "trainer=cpu", "trainer.threads=1")
PBT = (
    *("sweep=pbt", "sweep.population=3", "sweep.workers=1", "sweep.interval=1", "sweep.quantile=0.34"),
    *("lr=tag(log,interval(1e-5,1e-1))", "sweep.dir=pbt"),
)


def test_the_winner_is_one_training_run_with_nudges(tmp_path: Path) -> None:
    done = child("-m", *SMALL, *PBT, cwd=tmp_path)
    assert done.code == 0, done.err
    folders = [path.parent for path in sorted((tmp_path / "pbt").glob("*/ledger.jsonl"))]
    assert len(folders) == 3
    winner = max(folders, key=lambda folder: len(schedule(folder)))
    assert schedule(winner), "no exploit in five epochs"
    answer = child("export", str(winner), "--to", "mine/experiment/won.yaml", "--json", cwd=tmp_path)
    told = json.loads(answer.out)
    nudges = yaml.safe_load((tmp_path / told["file"]).read_text())["schedule"]["nudges"]
    again = child(*told["command"][1:], "trainer=cpu", "trainer.threads=1", "hydra.run.dir=again", cwd=tmp_path)
    assert again.code == 0, (shlex.join(told["command"]), again.err)
    assert sha(tmp_path / "again") == sha(winner)
    assert read_metrics(tmp_path / "again/metrics.jsonl") == read_metrics(winner / "metrics.jsonl")
    assert [nudge["lr"] for nudge in nudges] == lrs_of(tmp_path / "again")


def schedule(folder: Path) -> list[dict[str, Any]]:
    return [event for event in ledger.read_ledger(folder).events if is_adoption(event)]


def lrs_of(folder: Path) -> list[float]:
    events = ledger.read_ledger(folder).events
    return [event["knobs"]["lr"]["new"] for event in events if event["event"] == "nudged"]


def sha(folder: Path) -> str:
    return str(json.loads((folder / "result.json").read_text())["weights_sha256"])
