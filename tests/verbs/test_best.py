"""`hpo-run best`: the leaderboard in the terminal, of sweeps in every state."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hpo_cli.errors import UserError
from hpo_cli.verbs import best
from tests.report.sweeps import ASHA, Sweep, write_sweep
from tests.verbs.test_light_imports import modules_of

Print = Callable[..., str]


@pytest.fixture
def shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Print:
    """Makes a sweep and prints what the verb says of it."""

    def call(sweep: Sweep | None = None, *words: str) -> str:
        folder = tmp_path / "outputs" / "digits" / "3f9c12"
        if not folder.exists():
            write_sweep(folder, sweep)
        assert best.main(["3f9c", *words, "--outputs", str(tmp_path / "outputs")]) == 0
        return capsys.readouterr().out

    return call


def test_the_page_has_the_leaderboard_the_lead_importance_curves_and_commands(shown: Print) -> None:
    text = shown(Sweep(trials=60))
    lines = text.splitlines()
    assert "60 trials: 57 finished, 3 failed" in lines[0]
    assert lines[1].split() == ["trial", "val/accuracy", "epochs", "time", "status", "setting"]
    values = [float(line.split()[2]) for line in lines[2:12]]
    assert values == sorted(values, reverse=True)
    assert "47 more; --top 57 shows all" in text
    assert "one run each cannot tell" in text
    assert "winner's curse" in text
    assert "sweep.seeds=5" in text
    assert "first, if optimizer=adam: 35 trials" in text
    assert "* trial 6" in text
    assert "train  hpo-run data=digits epochs=9 optimizer=adam lr=0.00208" in text
    assert "panda  hpo-run resume=best:3f9c12 epochs=45" in text
    assert "train/loss was nan" in text


def test_top_says_how_many(shown: Print) -> None:
    text = shown(Sweep(trials=30), "--top", "3")
    assert "3     " in text
    assert "more; --top" in text
    with pytest.raises(UserError, match="must be 1 or more"):
        shown(None, "--top", "0")


def test_seeds_are_told_with_their_spread_and_a_test(shown: Print) -> None:
    text = shown(Sweep(trials=12, seeds=3))
    assert text.splitlines()[1].split()[:4] == ["trial", "val/accuracy", "±", "runs"]
    assert "Welch's test over 3 and 3 runs" in text


def test_json_has_every_trial(shown: Print) -> None:
    found: dict[str, Any] = json.loads(shown(Sweep(trials=30, rungs=ASHA), "--json"), parse_constant=pytest.fail)
    assert len(found["leaderboard"]) == 30
    assert found["best"] == found["leaderboard"][0]
    assert found["best"]["rank"] == 1
    assert {row["name"] for row in found["importance"]["rows"]} >= {"optimizer", "lr (adam)"}
    assert found["commands"]["panda"] == "hpo-run resume=best:3f9c12 epochs=45"
    assert found["verdict"]["is_clear"] is None


def test_two_aims_mark_the_front(shown: Print) -> None:
    text = shown(Sweep(trials=30, aims=(("val/accuracy", "max"), ("params", "min"))), "--top", "30")
    assert "* no other trial beats it in every aim" in text
    assert "params" in text.splitlines()[1]


def test_a_running_sweep_shows_what_has_ended(shown: Print) -> None:
    text = shown(Sweep(trials=6, running=2, end=None))
    assert "4 finished, 2 running" in text
    assert "train  hpo-run" in text


def test_a_sweep_without_a_value_says_so(shown: Print) -> None:
    assert "No trial has a value yet" in shown(Sweep(trials=2, running=2, end=None))


def test_running_trials_are_drawn_before_any_has_ended(shown: Print, tmp_path: Path) -> None:
    folder = write_sweep(tmp_path / "outputs" / "digits" / "3f9c12", Sweep(trials=2, running=2, end=None))
    (folder / "3f9c12-2").mkdir()
    (folder / "3f9c12-2" / "ledger.jsonl").write_text("")
    rows = [{"step": epoch, "epoch": epoch, "val/accuracy": epoch / 10} for epoch in (1, 2, 3)]
    (folder / "3f9c12-2" / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    text = shown()
    assert "No trial has a value yet" in text
    assert "val/accuracy by epoch  * trial 2" in text


def test_a_sweep_in_which_all_failed_says_why(shown: Print) -> None:
    text = shown(Sweep(trials=12, fail_above=0.0, space=Sweep().space.without("optimizer", "adam")))
    assert "No trial has a value yet" in text
    assert text.count("train/loss was nan") == 3
    assert "9 more failed" in text


def test_one_trial_has_nobody_to_lead(shown: Print) -> None:
    text = shown(Sweep(trials=1))
    assert "lead " not in text
    assert "train  hpo-run" in text


def test_an_unknown_sweep_is_refused(shown: Print, tmp_path: Path) -> None:
    shown(Sweep(trials=2))
    with pytest.raises(UserError, match="did you mean 3f9c12"):
        best.main(["3f9c13", "--outputs", str(tmp_path / "outputs")])


def test_colours_show_the_best_among_the_others(shown: Print, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "100")
    text = shown(Sweep(trials=20))
    assert "\x1b[1;32m" in text
    assert "the best, trial" in text
    assert any("⠉" in line or "⣀" in line for line in text.splitlines())


def test_torch_is_not_imported(tmp_path: Path) -> None:
    write_sweep(tmp_path / "digits" / "3f9c12", Sweep(trials=25, seeds=2))
    loaded = modules_of("best", "3f9c12", "--outputs", str(tmp_path))
    assert "optuna" in loaded
    assert not loaded & {"torch", "lightning", "pytorch_lightning", "hydra", "omegaconf"}


def test_a_small_sweep_needs_no_optuna_either(tmp_path: Path) -> None:
    write_sweep(tmp_path / "digits" / "3f9c12", Sweep(trials=10))
    assert not modules_of("best", "3f9c12", "--outputs", str(tmp_path)) & {"optuna", "numpy", "scipy"}


def test_a_pipe_that_closes_is_no_error(tmp_path: Path) -> None:
    write_sweep(tmp_path / "digits" / "3f9c12", Sweep(trials=10))
    code = f"from hpo_cli.verbs.best import main; main(['3f9c12', '--outputs', {str(tmp_path)!r}])"
    done = subprocess.run(
        ["bash", "-c", f'set -o pipefail; "{sys.executable}" -c "{code}" | head -1'], capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.stderr == ""
    assert "3f9c12" in done.stdout
