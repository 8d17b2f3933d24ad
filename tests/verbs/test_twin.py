"""`hpo-run twin`: two children that differ in one nudge, and a verdict that says no more than they show."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from hpo_cli.plan import Objective
from hpo_cli.verbs.twin_report import Comparison, report, verdict
from tests.command_line import call, refuse_in_one_line
from tests.verbs.steered import (
    begun,
    bytes_of,
    events_of,
    new_runs,
    rows_of,
    sha_of,
    started_of,
    stop_at,
    train,
)


def twins_of(*words: str) -> tuple[dict[str, Any], Path, Path]:
    before = {path.parent for path in Path("outputs").glob("*/*/ledger.jsonl")}
    answer = call("twin", *words, "--json")
    assert answer.code == 0, answer
    without, with_it = new_runs(Path("outputs"), before)
    return json.loads(answer.out), without, with_it


def test_twins_differ_in_the_nudge_alone(parent: Path) -> None:
    before = bytes_of(parent)
    found, without, with_it = twins_of("parent", "lr/=4", "--at", "epoch=2", "--epochs", "1")
    assert bytes_of(parent) == before
    assert [started_of(one)["parent"]["twin"] for one in (without, with_it)] == ["without", "with"]
    plans = [(one / "plan.yaml").read_text() for one in (without, with_it)]
    assert plans[0] == plans[1]
    (nudge,) = [event for event in events_of(with_it) if event["event"] == "nudged"]
    assert nudge["step"] == 16
    assert nudge["knobs"]["lr"]["new"] == nudge["knobs"]["lr"]["old"] / 4
    assert [row["step"] for row in rows_of(without)] == [row["step"] for row in rows_of(with_it)]
    assert rows_of(without)[-1]["step"] == 24
    assert rows_of(without)[0]["train/loss"] == rows_of(with_it)[0]["train/loss"]  # the loss before the first update
    assert found["runs"]["with"]["id"] == with_it.name
    assert found["parent"]["step"] == 16
    assert [one["metric"] for one in found["validations"]] == ["val/loss", "val/accuracy"]
    for one in found["validations"]:
        (value,) = one["values"]
        assert value["without"] == rows_of(without)[-1][one["metric"]]
        assert value["difference"] == value["with"] - value["without"]


def test_a_twin_without_a_change_ends_with_its_siblings_bits(parent: Path) -> None:
    found, without, with_it = twins_of("parent", "lr*=1", "--at", "step=20")
    assert sha_of(without) == sha_of(with_it)
    assert found["winner"] == ""
    assert "made no difference" in found["verdict"]


def test_the_schedule_is_neither_stretched_nor_cut(parent: Path) -> None:
    _, without, _ = twins_of("parent", "regularization.dropout=0.4", "--at", "step=21", "--epochs", "2")
    rates = {row["step"]: row["lr"] for row in rows_of(parent)}
    assert all(row["lr"] == rates[row["step"]] for row in rows_of(without))


def test_a_kept_winner_takes_force_when_the_run_goes_on(parent: Path) -> None:
    stopped = begun("outputs/all/stopped", "lr=1e-6")
    stop_at(stopped, 13)
    train(stopped)
    answer = call("twin", "stopped", "lr=0.01", "--epochs", "2", "--keep")
    assert answer.code == 0, answer.err
    assert "hpo-run resume=stopped" in answer.out
    train(stopped)
    (nudge,) = [event for event in events_of(stopped) if event["event"] == "nudged"]
    assert (nudge["step"], nudge["knobs"]["lr"]["new"]) == (13, 0.01)


def test_a_loser_is_not_kept(parent: Path) -> None:
    stopped = begun("outputs/all/stopped", "lr=0.01")
    stop_at(stopped, 13)
    train(stopped)
    before = bytes_of(stopped)
    answer = call("twin", "stopped", "lr=1e-7", "--epochs", "2", "--keep")
    assert "stopped stays as it is" in answer.out
    assert bytes_of(stopped) == before


def test_a_nudge_that_breaks_the_run_has_lost(parent: Path) -> None:
    found, _, _ = twins_of("parent", "lr=1e30", "--at", "epoch=2", "--epochs", "1")
    assert found["winner"] == "without"
    assert "failed" in found["verdict"]


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (("lr/=3",), "nothing is left to train"),
        (("--at", "epoch=2"), "name a nudge"),
        (("--at", "epoch=2", "model.depth=3"), "hpo-run branch parent model.depth=3"),
        (("--at", "epoch=2", "lr=-1"), "lr=-1"),
        (("--at", "epoch=2", "lr=1", "--epochs", "0"), "at least one epoch"),
    ],
)
def test_wrong_words_are_refused_in_one_line(parent: Path, words: tuple[str, ...], part: str) -> None:
    assert part in refuse_in_one_line("twin", "parent", *words)


def comparison(without: list[float], with_it: list[float], **more: Any) -> Comparison:
    def rows(values: list[float]) -> list[Mapping[str, Any]]:
        return [{"step": 10 * k, "epoch": k, "val/accuracy": value} for k, value in enumerate(values, start=1)]

    given = {"failed": {}, "objective": Objective("val/accuracy", "max"), "num_val": 1000, **more}
    folders = {"without": Path("outputs/a"), "with": Path("outputs/b")}
    return Comparison(
        parent=Path("outputs/p"), step=5, words=("lr/=3",), settings={"lr": 0.1}, folders=folders,
        rows={"without": rows(without), "with": rows(with_it)}, **given,
    )  # fmt: skip


def test_a_clear_difference_is_called_one_and_still_one_seed() -> None:
    text = verdict(comparison([0.5, 0.6], [0.6, 0.8]))
    assert text.startswith("lr/=3 helped: val/accuracy better by 0.2, at 2 of 2 validations")
    assert "200 of 1000 validation samples" in text
    assert "one seed" in text
    assert verdict(comparison([0.8], [0.5])).startswith("lr/=3 hurt: val/accuracy worse by 0.3, at the only validation")


def test_a_small_difference_is_too_close_to_call() -> None:
    text = verdict(comparison([0.9], [0.91]))
    assert text.startswith("too close to call")
    assert "errs by ±0.019" in text  # twice the root of 0.9 * 0.1 / 1000


def test_less_is_better_for_a_loss() -> None:
    found = comparison([0.5], [0.4], objective=Objective("val/accuracy", "min"), num_val=None)
    assert found.winner == "with"
    assert "better" in verdict(found)


def test_the_page_has_a_row_a_validation() -> None:
    text = ["".join(span.text for span in one) for one in report(comparison([0.5, 0.6], [0.6, 0.8]))]
    assert any(one.split() == ["1", "0.5", "0.6", "+0.1"] for one in text)


def test_without_a_common_validation_nothing_is_said() -> None:
    assert "nothing can be said" in verdict(comparison([], [0.5]))
    assert comparison([], []).winner == ""
