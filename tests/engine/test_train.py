"""Through Lightning: the same bits as without it, loggers, precision, deterministic and compiled training."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch

from hpo_cli.engine.backend import Backend
from tests.engine.commands import start_command
from tests.engine.plans import SMALL, finish, new_loop, plan, rows_of, trained, weights_of
from tests.engine.runs import RICH

if TYPE_CHECKING:
    from tests.engine.runs import Start


@pytest.mark.parametrize(
    "words",
    [SMALL, RICH, ("optimizer=sgd", *RICH), ("data=diabetes", "loss=mse", *SMALL[1:])],
    ids=["small", "rich", "sgd", "regression"],
)
def test_lightning_changes_no_bit(words: tuple[str, ...], start: Start) -> None:
    ran = start(plan(*words))
    outcome, loop = ran.go(), trained(plan(*words))
    assert outcome.weights_sha256 == weights_of(loop)
    assert ran.rows == rows_of(loop)
    assert (outcome.step, outcome.epoch, outcome.metrics) == (loop.position.step, 2, loop.metrics)


def test_several_stretches_are_one_training(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hpo_cli.engine.module.STRETCH", 3)
    ran = start(plan(*RICH))
    ran.go()
    assert ran.rows == rows_of(trained(plan(*RICH)))


@pytest.mark.parametrize("logger", ["csv", "tensorboard"])
def test_a_logger_gets_what_our_own_record_has(logger: str, start: Start) -> None:
    ran = start(plan(f"logger={logger}", *RICH))
    ran.go()
    read = {"csv": csv_rows, "tensorboard": tensorboard_rows}[logger]
    wanted = {
        (row["step"], name): value for row in ran.rows for name, value in row.items() if name not in ("step", "epoch")
    }
    assert len(wanted) >= 4 * 2 + 4
    assert read(ran.folder / logger) == pytest.approx(wanted, rel=1e-6)


def csv_rows(folder: Path) -> dict[tuple[int, str], float]:
    with (folder / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    return {
        (int(row["step"]), name): float(value)
        for row in rows
        for name, value in row.items()
        if value and name not in ("step", "epoch")
    }


def tensorboard_rows(folder: Path) -> dict[tuple[int, str], float]:
    loader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    events = loader.EventAccumulator(str(folder))
    events.Reload()
    return {(e.step, name): e.value for name in events.Tags()["scalars"] for e in events.Scalars(name)}


def test_deterministic_algorithms_can_be_asked_for(start: Start) -> None:
    ran = start(plan("trainer.deterministic=true", *RICH))
    seen = []
    measured = lambda _: seen.append(torch.are_deterministic_algorithms_enabled())  # noqa: E731
    ran.training._reporter.measured = measured  # type: ignore[method-assign]
    outcome = ran.go()
    assert seen and all(seen)  # noqa: PT018
    assert outcome.weights_sha256 == weights_of(trained(plan(*RICH)))


def test_double_precision_through_lightning(start: Start) -> None:
    ran = start(plan("trainer.precision=64-true", *SMALL))
    outcome = ran.go()
    loop = trained(plan("trainer.precision=64-true", *SMALL))
    assert {tensor.dtype for tensor in ran.saved("step-*")["model"].values()} == {torch.float64}
    assert outcome.weights_sha256 == weights_of(loop)
    assert ran.rows == rows_of(loop)


def test_mixed_precision_through_lightning(start: Start) -> None:
    made = plan("trainer.precision=bf16-mixed", *RICH)
    outcome = start(made).go()
    backend = Backend(autocast=lambda: torch.autocast("cpu", dtype=torch.bfloat16))
    assert outcome.weights_sha256 == weights_of(finish(new_loop(made, backend=backend)))
    assert outcome.weights_sha256 != weights_of(trained(plan(*RICH)))


@pytest.mark.slow
@pytest.mark.parametrize(
    "words", [SMALL, ("model=resnet", "model.depth=8", "model.channels=4", "data.subset=0.1", "trainer.max_steps=3")]
)
def test_a_compiled_network_learns_the_same(words: tuple[str, ...], tmp_path: Path) -> None:
    """In a process of its own: torch's compiler minds what else was imported before it."""
    command = start_command(tmp_path / "run", "trainer=cpu", "trainer.compile=true", *words)
    assert command.wait() == 0, command.output()
    for row, wanted in zip(command.rows, rows_of(trained(plan(*words))), strict=True):
        assert row == pytest.approx(wanted, rel=1e-3)
