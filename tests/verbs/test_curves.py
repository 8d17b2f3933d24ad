import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hpo_cli.errors import UserError
from hpo_cli.verbs import curves
from tests.run_folders import Run, add_events, make_child, make_run, metric_rows, nudged


def titles(text: str) -> list[str]:
    return [line.split(" by ")[0] for line in text.splitlines() if " by epoch" in line or " by step" in line]


def test_one_run_shows_both_losses_and_the_objective(printed: Callable[..., str]) -> None:
    text = printed(curves, "3f9c12")
    assert titles(text) == ["loss", "val/accuracy"]
    assert "* train/loss  2.3 → 0.04213" in text
    assert "o val/loss" in text
    assert "\x1b" not in text
    assert max(map(len, text.splitlines())) <= 80


def test_several_runs_share_frames(printed: Callable[..., str]) -> None:
    text = printed(curves, "3f9c12", "a1b2c3")
    assert titles(text) == ["train/loss", "val/loss", "val/accuracy"]
    assert text.count("* 3f9c12") == text.count("o a1b2c3") == 3


def test_chosen_metrics(printed: Callable[..., str]) -> None:
    text = printed(curves, "3f9c12", "--metric", "lr", "--metric", "val/accuracy")
    assert titles(text) == ["lr", "val/accuracy"]


def test_colours_when_asked_for(printed: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert "\x1b[96m" in printed(curves, "3f9c12", "a1b2c3")
    monkeypatch.setenv("NO_COLOR", "1")
    assert "o a1b2c3" in printed(curves, "3f9c12", "a1b2c3").replace("\x1b[0m", "")


def test_json_gives_the_series(answered: Callable[..., Any]) -> None:
    runs = answered(curves, "3f9c12", "a1b2c3")["runs"]
    assert [run["id"] for run in runs] == ["3f9c12", "a1b2c3"]
    series = runs[0]["metrics"]["val/accuracy"]
    assert series["steps"] == [40 * k for k in range(1, 21)]
    assert series["epochs"] == list(range(1, 21))
    assert series["values"][-1] == pytest.approx(0.9772)
    assert set(runs[0]["metrics"]) == {"train/loss", "val/loss", "val/accuracy", "lr"}


def test_rows_within_an_epoch_are_drawn_by_step(printed: Callable[..., str], outputs: Path) -> None:
    folder = make_run(outputs, Run(id="eeeeee"))
    rows = [{"step": k, "epoch": k // 50, "train/loss": 1 / (k + 1)} for k in range(100)]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert "by step" in printed(curves, "eeeeee")
    assert "by epoch" in printed(curves, "eeeeee", "--x", "epoch")


@pytest.mark.parametrize("values", [[None], [1.0], [None, None, 2.0], [3.0, 3.0, 3.0], [1e308, -1e308], [1e-320, 0.0]])
def test_odd_values_are_drawn(printed: Callable[..., str], outputs: Path, values: list[float | None]) -> None:
    folder = make_run(outputs, Run(id="eeeeee"))
    rows = [{"step": k, "epoch": k, "val/loss": value} for k, value in enumerate(values)]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    text = printed(curves, "eeeeee")
    assert "val/loss" in text
    assert ("not finite" in text) == (None in values)


def test_many_rows_make_a_small_drawing(printed: Callable[..., str], outputs: Path) -> None:
    folder = make_run(outputs, Run(id="eeeeee"))
    (folder / "metrics.jsonl").write_text(
        "".join(f'{{"step": {k}, "epoch": 0, "train/loss": {k % 97}}}\n' for k in range(50_000))
    )
    assert len(printed(curves, "eeeeee").splitlines()) <= 24


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["3f9c12", "--metric", "val/acc"], r"--metric val/acc: not recorded; did you mean val/accuracy\?"),
        (["3f9c12", "--metric", "zzz"], r"there are train/loss, val/loss, val/accuracy, lr"),
        (["eeeeee"], r"eeeeee: no metrics yet \(running\)"),
        (["zzz"], r"zzz: no such run"),
    ],
)
def test_what_cannot_be_drawn_is_told(outputs: Path, words: list[str], message: str) -> None:
    (make_run(outputs, Run(id="eeeeee", status="running")) / "metrics.jsonl").unlink()
    with pytest.raises(UserError, match=message):
        curves.main([*words, "--outputs", str(outputs)])


def child_of(outputs: Path) -> Path:
    rows = [row for row in metric_rows(Run()) if row["step"] > 400]
    return make_child(outputs, outputs / "digits" / "3f9c12", Run(id="cccccc", overrides=()), step=400, rows=rows)


def test_a_child_is_drawn_after_the_line_that_its_parent_lived(printed: Callable[..., str], outputs: Path) -> None:
    child_of(outputs)
    text = printed(curves, "cccccc", "--metric", "val/loss", "--x", "step")
    assert "* 3f9c12 digits up to step 400" in text
    assert "o cccccc digits" in text
    area = [line.partition("│")[2] or line.partition("┤")[2] for line in text.splitlines()[3:-4]]
    parent, child = ([line.index(mark) for line in area if mark in line] for mark in "*o")
    lasts = [line.rindex("*") for line in area if "*" in line]
    assert max(lasts) < min(child)
    assert min(parent) == 0
    assert " b1 step 400  branch of 3f9c12" in text


def test_a_past_is_pale(printed: Callable[..., str], outputs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    child_of(outputs)
    monkeypatch.setenv("FORCE_COLOR", "1")
    text = printed(curves, "cccccc", "--metric", "val/loss")
    assert "\x1b[2m──\x1b[0m 3f9c12" in text
    assert "\x1b[33m──\x1b[0m cccccc" in text


def test_a_parent_that_is_asked_for_is_drawn_whole_and_once(printed: Callable[..., str], outputs: Path) -> None:
    child_of(outputs)
    text = printed(curves, "3f9c12", "cccccc", "--metric", "val/loss")
    assert text.count("3f9c12 digits") == 1
    assert "up to step" not in text
    assert text.count("b1 step 400") == 1


def test_a_child_whose_parent_is_gone_is_drawn_alone(printed: Callable[..., str], outputs: Path) -> None:
    child_of(outputs)
    (outputs / "digits" / "3f9c12").rename(outputs.parent / "elsewhere")
    assert "up to step" not in printed(curves, "cccccc")


def test_a_family_that_names_itself_is_drawn_once(printed: Callable[..., str], outputs: Path) -> None:
    folder = make_run(outputs, Run(id="eeeeee"))
    make_child(outputs, folder, Run(id="ffffff"), step=400, rows=list(metric_rows(Run())))
    ledger = outputs / "digits" / "ffffff" / "ledger.jsonl"
    ledger.write_text(ledger.read_text().replace("eeeeee", "ffffff"))
    assert "ffffff" in printed(curves, "ffffff")


def test_nudges_and_rollbacks_are_marked_and_only_living_rows_drawn(printed: Callable[..., str], outputs: Path) -> None:
    folder = outputs / "digits" / "3f9c12"
    add_events(
        folder, nudged("a", step=200), {"event": "rolled_back", "id": "r", "step": 800, "to": 400, "line": ["a"]}
    )
    with (folder / "metrics.jsonl").open("a") as file:
        file.write(json.dumps({"event": "rolled_back", "step": 400, "from": 800, "since": None}) + "\n")
    text = printed(curves, "3f9c12", "--metric", "val/loss", "--x", "step")
    assert "n1" in text.splitlines()[-4]
    assert " n1 step 200  lr 0.001 -> 0.0003 (ada: too noisy)" in text
    assert " r1 step 400  back from step 800" in text
    assert "0.5778" in text
    assert "800 " not in text.splitlines()[-3]
