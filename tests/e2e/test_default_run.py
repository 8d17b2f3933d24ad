"""The default command in an empty folder: what it prints, what it leaves, and that the files fit together."""

from __future__ import annotations

import hashlib
import json
import math
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from omegaconf import OmegaConf

import hpo_cli
from hpo_cli.plan import plan_from_dict
from tests.command_line import REPOSITORY, child

if TYPE_CHECKING:
    from tests.e2e.conftest import Trained

FILES = {
    ".hydra/config.yaml", ".hydra/hydra.yaml", ".hydra/overrides.yaml", "plan.yaml", "ledger.jsonl", "metrics.jsonl",
    "result.json", "run.log", "checkpoints/step-00000080.pt", "checkpoints/best-00000080.pt",
    "control/lease-00000001.json",
}  # fmt: skip
GRADIENTS = {"train/grad_norm", "train/update_ratio"}
METRICS = {"train/loss", "train/accuracy", "val/loss", "val/accuracy"}


def events(trained: Trained) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (trained.run / "ledger.jsonl").read_text().splitlines()]


def result(trained: Trained) -> dict[str, Any]:
    return dict(json.loads((trained.run / "result.json").read_text()))


def test_it_ends_with_the_best_value_the_folder_and_the_next_command(trained: Trained) -> None:
    assert trained.answer.code == 0
    assert trained.answer.err == ""
    assert "\x1b" not in trained.answer.out
    lines = trained.answer.out.splitlines()
    assert sum(line.startswith("epoch ") for line in lines) == 2
    best = result(trained)["objective"]
    assert f"val/accuracy {best['value']:.4f} at step {best['step']}" in lines[-3]
    assert lines[-2].split() == ["run", f"outputs/digits/{trained.run.name}"]
    assert lines[-1].endswith(f"hpo-run show {trained.run.name}")


def test_the_folder_holds_these_files_and_nothing_else(trained: Trained) -> None:
    found = {str(path.relative_to(trained.run)) for path in trained.run.rglob("*") if path.is_file()}
    checkpoints = {name for name in found if name.startswith("checkpoints/best-")}
    assert found - checkpoints == {name for name in FILES if not name.startswith("checkpoints/best-")}
    assert len(checkpoints) == 1
    assert {path.name for path in trained.place.iterdir()} == {"outputs"}


def test_the_hydra_files_are_as_hydra_writes_them(trained: Trained) -> None:
    config = OmegaConf.load(trained.run / ".hydra" / "config.yaml")
    assert config.epochs == 2
    assert config.name == "digits"
    assert config.model.dropout == 0.0  # an interpolation that can be followed
    hydra = OmegaConf.load(trained.run / ".hydra" / "hydra.yaml").hydra
    assert hydra.overrides.task == ["epochs=2"]
    assert hydra.runtime.choices.optimizer == "adam"
    assert yaml.safe_load((trained.run / ".hydra" / "overrides.yaml").read_text()) == ["epochs=2"]
    printed = child("--cfg", "job", "epochs=2", cwd=trained.place)
    assert printed.out == (trained.run / ".hydra" / "config.yaml").read_text()


def test_the_plan_is_the_resolved_config(trained: Trained) -> None:
    plan = plan_from_dict(yaml.safe_load((trained.run / "plan.yaml").read_text()))
    resolved = yaml.safe_load(child("--cfg", "job", "--resolve", "epochs=2", cwd=trained.place).out)
    assert dict(plan.config) == resolved
    assert plan.plan_id == events(trained)[0]["plan_id"]


def test_the_ledger_tells_the_story_in_order(trained: Trained) -> None:
    found = events(trained)
    names = [event["event"] for event in found]
    assert names[:2] == ["started", "data"]
    assert set(names[2:-1]) == {"checkpointed"}
    assert names[-1] == "finished"
    assert all({"at", "event", "step"} <= set(event) for event in found)
    assert [event["at"] for event in found] == sorted(event["at"] for event in found)
    assert [event["step"] for event in found] == sorted(event["step"] for event in found)
    assert found[0]["command"] == ["hpo-run", "epochs=2"]
    assert found[0]["seed"] == 0
    assert {"python", "platform", "hostname", "cores", "packages", "git"} <= set(found[0]["environment"])
    counts = found[1]["class_counts"]["train"]
    assert len(counts) == 10
    assert sum(counts.values()) == found[1]["train"] == 1257


def test_the_checkpoints_are_those_of_the_ledger(trained: Trained) -> None:
    saved = [event for event in events(trained) if event["event"] == "checkpointed"]
    for path in (trained.run / "checkpoints").iterdir():
        event = next(event for event in reversed(saved) if event["file"] == f"checkpoints/{path.name}")
        assert hashlib.sha256(path.read_bytes()).hexdigest() == event["sha256"]


def test_the_result_has_its_keys(trained: Trained) -> None:
    found = result(trained)
    assert set(found) == {"status", "objective", "metrics", "best", "steps", "epochs", "seconds", "weights_sha256"}
    assert found["status"] == "finished"
    assert set(found["objective"]) == {"name", "mode", "value", "step"}
    assert (found["objective"]["name"], found["objective"]["mode"]) == ("val/accuracy", "max")
    assert set(found["metrics"]) == set(found["best"]) == METRICS
    assert all(set(best) == {"value", "step"} for best in found["best"].values())
    assert (found["steps"], found["epochs"]) == (80, 2)
    assert int(found["weights_sha256"], 16) > 0
    assert found["metrics"]["val/accuracy"] > 0.8


def test_the_metrics_rows_fit_the_result(trained: Trained) -> None:
    rows = [json.loads(line) for line in (trained.run / "metrics.jsonl").read_text().splitlines()]
    assert all({"step", "epoch"} <= set(row) for row in rows)
    assert set().union(*rows) == {"step", "epoch", "lr", *GRADIENTS, *METRICS}
    assert [row["step"] for row in rows] == sorted(row["step"] for row in rows)
    assert all(math.isfinite(value) for row in rows for value in row.values())
    validated = [row for row in rows if "val/accuracy" in row]
    assert max(row["val/accuracy"] for row in validated) == result(trained)["objective"]["value"]
    assert {name: rows[-1][name] for name in METRICS} == result(trained)["metrics"]


def test_reading_verbs_answer_about_it(trained: Trained) -> None:
    for words in (["ls"], ["show"], ["show", "best"], ["curves", "last"], ["diff", "last", "best"]):
        assert child(*words, cwd=trained.place).code == 0
        assert json.loads(child(*words, "--json", cwd=trained.place).out)


def test_load_runs_gives_it_as_a_row(trained: Trained, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pandas")
    monkeypatch.chdir(trained.place)
    frame = hpo_cli.load_runs("outputs")
    assert len(frame) == 1
    row = frame.iloc[0]
    assert (row["id"], row["status"], row["optimizer"], row["model.depth"]) == (trained.run.name, "finished", "adam", 2)
    assert row["objective"] == result(trained)["objective"]["value"]
    assert row["best.val/loss"] == result(trained)["best"]["val/loss"]["value"]
    assert row["lr"] == 0.001
    assert str(frame["started"].dtype).startswith("datetime64")


def test_nothing_was_written_into_the_repository() -> None:
    assert not (REPOSITORY / "lightning_logs").exists()
