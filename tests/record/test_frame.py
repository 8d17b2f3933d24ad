import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

import hpo_cli
from hpo_cli.record.flat import flatten, flatten_plan
from tests.run_folders import Run, make_run


def test_one_row_a_run_with_plan_and_metrics(tmp_path: Path) -> None:
    make_run(tmp_path, Run(id="aaaaaa", value=0.9, plan=(("lr", 0.05),), minutes_old=1))
    make_run(tmp_path, Run(id="bbbbbb", value=0.8, status="failed", minutes_old=9))
    table = hpo_cli.load_runs(tmp_path)
    assert list(table["id"]) == ["aaaaaa", "bbbbbb"]
    assert list(table["objective"]) == [0.9, 0.8]
    assert list(table["lr"]) == [0.05, 0.001]
    assert list(table["model.depth"]) == [2, 2]
    assert list(table["optimizer"]) == ["adam", "adam"]
    assert list(table["best.val/accuracy"]) == [0.9, 0.8]
    assert table["val/loss"].notna().all()
    assert str(table["started"].dtype).endswith("UTC]")
    assert table.groupby("optimizer.betas")["objective"].max().iloc[0] == 0.9
    assert Path(table["path"][0]) == tmp_path / "digits" / "aaaaaa"


def test_no_runs_give_an_empty_table_with_columns(tmp_path: Path) -> None:
    table = hpo_cli.load_runs(tmp_path)
    assert isinstance(table, pd.DataFrame)
    assert len(table) == 0
    assert {"id", "status", "objective", "started"} <= set(table.columns)


def test_without_pandas_the_way_out_is_named(tmp_path: Path) -> None:
    code = "import sys; sys.modules['pandas'] = None\nimport hpo_cli\nhpo_cli.load_runs(sys.argv[1])"
    child = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False)
    assert child.stderr.strip().splitlines()[-1].endswith("pip install 'hpo-run[tables]'`")


def test_flat_keys_are_what_people_type() -> None:
    nested = {"lr": 1, "model": {"depth": 2, "empty": {}, "deep": {"a": [1]}}}
    assert flatten(nested) == {"lr": 1, "model.depth": 2, "model.empty": {}, "model.deep.a": [1]}
    assert flatten_plan({"plan_id": "x", "choices": {"model": "mlp"}, "model": {"depth": 2}}) == {
        "model": "mlp",
        "model.depth": 2,
    }


@pytest.mark.parametrize("choices", [None, [1], "x"])
def test_strange_choices_are_passed_over(choices: object) -> None:
    assert flatten_plan({"choices": choices, "lr": 1}) == {"lr": 1}
