"""`hpo-run verify-resume`: finds a run exact that is, and names what differs in one that is not."""

from __future__ import annotations

import importlib
import re
from typing import TYPE_CHECKING

import pytest

from hpo_cli.engine.verify_moments import MOMENTS, NUDGE_MOMENTS
from hpo_cli.verbs.verify_resume import commands_of
from tests.command_line import refuse_in_one_line
from tests.resume.matrix import DIGITS, EVERYTHING

if TYPE_CHECKING:
    from pathlib import Path

    from tests.resume.conftest import Verify

TEN = (
    *("start", "a random time", "mid-accumulation", "last batch of an epoch", "validation", "half-written checkpoint"),
    *("before a checkpoint's rename", "torn ledger line", "torn metrics row", "after the result"),
)


def test_ten_kills_change_no_bit(verify: Verify, tmp_path: Path) -> None:
    moments = [f"--moment={name}" for name in TEN]
    answer = verify(*DIGITS, *EVERYTHING, "kills=10", *moments)
    assert answer.code == 0, answer.out + answer.err
    assert answer.out.startswith("identical: 10 kills (")
    assert all(f"1 {name}" in answer.out for name in TEN)
    assert len([line for line in answer.err.splitlines() if line.startswith("kill ")]) == 10
    assert list((tmp_path / "outputs").iterdir()) == []


SPOILED = {
    "seed_by_history": "train/loss",
    "forget_the_average": "average.num_updates",
    "forget_the_moments": "train/update_ratio",
    "skip_the_rest_of_an_epoch": "validations: after steps",
}


def spoiled_is_found(verify: Verify, name: str) -> str:
    words = (*DIGITS, "regularization.dropout=0.2", "regularization.ema=0.9", "kills=2", "--moment=mid-step")
    answer = verify(*words, spoil=f"tests.resume.spoiled:{name}")
    assert answer.code == 1, answer.out + answer.err
    assert answer.out.startswith("different: ")
    assert " straight, " in answer.out
    return answer.out


def test_noise_that_depends_on_history_is_found(verify: Verify) -> None:
    text = spoiled_is_found(verify, "seed_by_history")
    assert re.search(r"^different: step \d+, train/loss: [\d.]+ straight, [\d.]+ killed$", text, re.MULTILINE)
    tensor = r"^  model\.linear0\.weight: \d+ of 1024 numbers differ; at \[\d+, \d+\] \S+ straight, \S+ killed$"
    assert re.search(tensor, text, re.MULTILINE)
    assert "without any kill" not in text
    kept = re.search(r"kept: (\S+)", text)
    assert kept is not None
    assert re.search(r"/outputs/\.verify-resume-\w+$", kept[1])


@pytest.mark.slow
@pytest.mark.parametrize("name", SPOILED)
def test_what_a_resume_forgets_is_named(name: str, verify: Verify) -> None:
    assert SPOILED[name] in spoiled_is_found(verify, name)


@pytest.mark.slow
def test_a_run_that_does_not_repeat_itself_is_no_fault_of_resuming(verify: Verify) -> None:
    text = spoiled_is_found(verify, "differ_by_itself")
    assert "without any kill a second run differs too: step 1, train/loss" in text
    assert "trainer.deterministic=true" in text


@pytest.mark.slow
def test_a_run_that_cannot_be_resumed_is_found(verify: Verify) -> None:
    answer = verify(*DIGITS, "kills=2", spoil="tests.resume.spoiled:never_get_past_the_start")
    assert answer.code == 1
    assert "no way on" in answer.out


@pytest.mark.slow
def test_a_run_that_fails_by_itself_is_an_error(verify: Verify, tmp_path: Path) -> None:
    answer = verify(*DIGITS, "optimizer=sgd", "lr=1e9", "model.norm=none", "kills=2")
    assert answer.code == 1, answer
    assert answer.out == ""
    assert "the run fails without any kill" in answer.err
    assert list((tmp_path / "outputs").iterdir()) == []


@pytest.mark.parametrize("name", [*MOMENTS, *NUDGE_MOMENTS])
def test_every_moment_is_a_place_in_the_code(name: str) -> None:
    module, _, path = {**MOMENTS, **NUDGE_MOMENTS}[name].place.partition(":")
    place = importlib.import_module(module)
    for part in path.split("."):
        place = getattr(place, part)
    assert callable(place)


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("kills=0",), "kills=0: must be a whole number, 1 or more"),
        (("kills=many",), "kills=many: must be a whole number, 1 or more"),
        (("kill_seed=-1",), "kill_seed=-1: must be a whole number"),
        (("resume=last",), "resume: the runs of a verification are new ones"),
        (("hydra.run.dir=x",), "hydra.run.dir: the runs of a verification are new ones"),
        (("batch_size=auto",), "batch_size=auto: must be a number here"),
        (("data.folds=3",), "data.folds: a cross-validation is many runs"),
        (("--moment=never",), "never: no moment of a run; there are a random time, start,"),
        (("--nudge=lr=3",), "--nudge lr=3: must look like lr/=2@step=30"),
        (("modell=mlp",), "modell"),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_wrong_words_are_refused_in_one_line(words: tuple[str, ...], text: str, tmp_path: Path) -> None:
    assert text in refuse_in_one_line("verify-resume", f"outputs={tmp_path / 'outputs'}", *words)
    assert list(tmp_path.rglob("*.pt")) == []


def test_the_same_nudges_are_the_same_commands() -> None:
    first, second = commands_of(["lr/=2@step=30", "regularization.dropout=0.3@epoch=2"]).values()
    assert first["args"] == {"changes": {"lr": ["/=", 2]}, "due": {"step": 30}}
    assert second["args"] == {"changes": {"regularization.dropout": ["=", 0.3]}, "due": {"epoch": 2}}
    assert commands_of(["lr/=2@step=30"]) == commands_of(["lr/=2@step=30"])
