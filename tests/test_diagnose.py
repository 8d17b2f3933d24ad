"""What refuses a word speaks of that word alone, and shows the form that would be taken."""

from __future__ import annotations

import pytest

from hpo_cli.diagnose import diagnose
from tests.command_line import problems_of


def test_the_folder_of_a_run_is_no_problem_beside_another_word() -> None:
    (line,) = problems_of("hydra.run.dir=x", "lrr=3")
    assert line.startswith("lrr: ")
    found = diagnose(["hydra.run.dir=x", "lrr=3"], config_dir=None)
    assert found.sound == ("hydra.run.dir=x",)


def test_other_keys_of_hydra_are_still_refused() -> None:
    lines = problems_of("hydra.job.name=x", "lrr=3")
    assert [line.partition(":")[0] for line in lines] == ["hydra.job.name", "lrr"]


@pytest.mark.parametrize(
    "value", ["{30: lr/=3}", "[{at: 0.5, lr/=3}]", "{30:{lr: 1e-4}}", "0.5", "null", "{at:0.5,lr:1e-4}"]
)
def test_planned_nudges_show_their_form(value: str) -> None:
    (line,) = problems_of(f"schedule.nudges={value}")
    assert line.startswith("schedule.nudges=")
    assert "relative" in line
    assert line.endswith("write schedule.nudges=[{at: 0.5, lr: 1e-4}]")


def test_planned_nudges_in_that_form_are_taken() -> None:
    assert problems_of("schedule.nudges=[{at: 0.5, lr: 1e-4}]") == []
    assert problems_of("schedule.nudges=[]") == []
