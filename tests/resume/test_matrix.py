"""Whatever has a memory: killed, resumed, and the same to the last bit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hpo_cli.engine.verify_moments import MOMENTS, NUDGE_MOMENTS
from tests.resume.matrix import DIGITS, EVERYTHING, MATRIX, TEXT, TWO

if TYPE_CHECKING:
    from tests.resume.conftest import Prove

pytestmark = pytest.mark.slow
KILLS = 8


@pytest.mark.parametrize("name", MATRIX)
def test_what_a_run_remembers_survives_kills(name: str, prove: Prove) -> None:
    found = prove(*MATRIX[name], f"kills={KILLS}", f"kill_seed={list(MATRIX).index(name)}")
    assert sum(found["kills"].values()) == KILLS
    assert found["resumed_from"]


def test_the_matrix_ends_where_it_should(prove: Prove) -> None:
    assert prove(*MATRIX["max_steps"], "kills=2")["steps"] == 13
    assert prove(*MATRIX["early stopping"], "kills=2")["steps"] < 40 * 5


def test_every_moment_can_be_survived(prove: Prove) -> None:
    names = [f"--moment={name}" for name in MOMENTS]
    found = prove(*DIGITS, *EVERYTHING, *names, f"kills={2 * len(MOMENTS)}")
    assert found["kills"] == dict.fromkeys(MOMENTS, 2)


@pytest.mark.parametrize("words", [DIGITS, TEXT], ids=["digits", "hidden state"])
def test_two_processes_survive_kills(words: tuple[str, ...], prove: Prove) -> None:
    found = prove(*words, *TWO, "regularization.ema=0.9", "regularization.dropout=0.1", "kills=6", "kill_seed=1")
    assert sum(found["kills"].values()) == 6
    assert found["resumed_from"]


NUDGES = ("--nudge=lr/=2@step=9", "--nudge=regularization.dropout=0.4@epoch=3", "--nudge=batch_size=16@step=6")


def test_nudges_survive_kills(prove: Prove) -> None:
    found = prove(*DIGITS, *NUDGES, "kills=12")
    assert found["steps"] == 34  # two epochs of batches of 16 began late


def test_kills_between_the_arrival_of_a_nudge_and_its_effect(prove: Prove) -> None:
    names = [f"--moment={name}" for name in NUDGE_MOMENTS]
    found = prove(*DIGITS, *NUDGES[:1], *names, "--moment=mid-step", "kills=9")
    assert found["kills"] == dict.fromkeys([*NUDGE_MOMENTS, "mid-step"], 3)


def test_two_processes_that_are_nudged_survive_kills(prove: Prove) -> None:
    found = prove(*DIGITS, *TWO, *NUDGES, "kills=4")
    assert found["steps"] == 34
