import os
from pathlib import Path

import pytest

from hpo_cli.errors import UserError
from hpo_cli.record.runs import best_of, find_run, scan, walk
from tests.run_folders import Run, make_run


@pytest.fixture
def outputs(tmp_path: Path) -> Path:
    root = tmp_path / "outputs"
    make_run(root, Run(id="3f9c12", value=0.95, minutes_old=1))
    make_run(root, Run(id="3f00aa", value=0.97, minutes_old=3))
    make_run(root, Run(id="77aa00", value=0.99, status="failed", minutes_old=4))
    make_run(root, Run(id="d00d00", name="diabetes", aim="val/loss", mode="min", value=0.4, minutes_old=50))
    make_run(root, Run(id="d11d11", name="diabetes", aim="val/loss", mode="min", value=0.3, minutes_old=60))
    return root


def test_newest_first_with_all_that_a_listing_shows(outputs: Path) -> None:
    records = scan(outputs)
    assert [record.id for record in records] == ["3f9c12", "3f00aa", "77aa00", "d00d00", "d11d11"]
    first = records[0]
    assert first.path == outputs / "digits" / "3f9c12"
    assert (first.name, first.status, first.steps, first.epochs, first.seconds) == (
        "digits",
        "finished",
        800,
        20,
        12.345,
    )
    assert first.objective is not None
    assert (first.objective.name, first.objective.mode, first.objective.value) == ("val/accuracy", "max", 0.95)
    assert first.overrides == ("optimizer=adam",)
    assert first.choices["optimizer"] == "adam"
    assert first.settings == {"lr": 0.001, "batch_size": 32, "epochs": 20, "seed": 0}
    assert [record.id for record in scan(outputs, name="diabetes")] == ["d00d00", "d11d11"]


def test_no_root_no_runs(tmp_path: Path) -> None:
    assert scan(tmp_path / "none") == []


def test_runs_of_a_sweep_are_found_and_deeper_ones_are_not(tmp_path: Path) -> None:
    make_run(tmp_path, Run(id="aaaaaa"), below="digits/sweep1")
    make_run(tmp_path, Run(id="bbbbbb"), below="digits/sweep1/deep/er")
    assert [record.id for record in scan(tmp_path)] == ["aaaaaa"]
    assert scan(tmp_path)[0].name == "digits"


def test_links_back_are_not_followed_and_others_are(outputs: Path, tmp_path: Path) -> None:
    make_run(tmp_path / "elsewhere", Run(id="eeeeee"))
    (outputs / "latest").symlink_to(outputs / "digits" / "3f9c12")
    (outputs / "digits" / "loop").symlink_to(outputs)
    (outputs / "scratch").symlink_to(tmp_path / "elsewhere" / "digits")
    assert sorted(Path(place).name for place in walk(outputs)) == [
        "3f00aa",
        "3f9c12",
        "77aa00",
        "d00d00",
        "d11d11",
        "eeeeee",
    ]


def test_a_run_without_result_is_running_then_doubted(tmp_path: Path) -> None:
    folder = make_run(tmp_path, Run(status="running", epochs=7, value=0.8))
    written = (folder / "metrics.jsonl").stat().st_mtime
    assert scan(tmp_path, now=written + 10)[0].status == "running"
    late = scan(tmp_path, now=written + 3600)[0]
    assert late.status == "running?"
    assert (late.steps, late.epochs) == (280, 7)
    assert late.objective is not None
    assert late.objective.value == pytest.approx(0.8)


def test_a_run_that_ended_by_its_ledger_alone(tmp_path: Path) -> None:
    folder = make_run(tmp_path, Run(status="interrupted"))
    (folder / "result.json").unlink()
    assert scan(tmp_path)[0].status == "interrupted"


@pytest.mark.parametrize(
    ("ref", "found"),
    [("3f9", "3f9c12"), ("77aa00", "77aa00"), ("digits/3f0", "3f00aa"), ("last", "3f9c12"), ("best", "3f00aa"),
     ("best:diabetes", "d11d11"), ("best:digits", "3f00aa")],
)  # fmt: skip
def test_references(outputs: Path, ref: str, found: str) -> None:
    assert find_run(ref, outputs).name == found


def test_paths_are_references(outputs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = outputs / "digits" / "3f9c12"
    assert find_run(str(folder), outputs / "none") == folder
    assert find_run(f"{folder}/", outputs) == folder
    monkeypatch.chdir(folder)
    assert find_run(".", outputs) == folder
    monkeypatch.chdir(folder / "checkpoints")
    assert find_run("..", outputs) == folder


def test_an_exact_id_wins_over_a_longer_one(tmp_path: Path) -> None:
    make_run(tmp_path, Run(id="abc"))
    make_run(tmp_path, Run(id="abcdef"))
    assert find_run("abc", tmp_path).name == "abc"


@pytest.mark.parametrize(
    ("ref", "message"),
    [
        ("3f", r"^3f: fits 2 runs: .*3f00aa \(digits\).*; type more"),
        ("77ab00", r"^77ab00: no such run .*did you mean 77aa00\?$"),
        ("lst", r"did you mean last\?$"),
        ("zzzz", r"hpo-run ls"),
        ("", r"no such run"),
        ("best:digit", r"did you mean digits\?$"),
        ("{root}/digits", r"not a run's folder"),
    ],
)
def test_what_is_not_found_is_told_in_one_line(outputs: Path, ref: str, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        find_run(ref.format(root=outputs), outputs)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("ref", ["last", "best", "3f"])
def test_no_runs_at_all(tmp_path: Path, ref: str) -> None:
    with pytest.raises(UserError, match="no runs here yet; `hpo-run` makes one"):
        find_run(ref, tmp_path)


def test_best_needs_a_finished_value(tmp_path: Path) -> None:
    make_run(tmp_path, Run(id="a1", value=None))
    make_run(tmp_path, Run(id="a2", value=0.9, status="failed"))
    with pytest.raises(UserError, match="no run of digits has finished"):
        find_run("best", tmp_path)


def test_best_ignores_null_and_other_objectives(tmp_path: Path) -> None:
    make_run(tmp_path, Run(id="a1", value=0.5, minutes_old=1))
    make_run(tmp_path, Run(id="a2", value=None, minutes_old=2))
    make_run(tmp_path, Run(id="a3", value=99.0, aim="val/loss", mode="min", minutes_old=3))
    make_run(tmp_path, Run(id="a4", value=0.7, minutes_old=4))
    best = best_of(scan(tmp_path))
    assert best is not None
    assert best.id == "a4"
    assert best_of([]) is None


def test_a_pipe_in_place_of_a_file_does_not_hold_the_reader(tmp_path: Path) -> None:
    folder = make_run(tmp_path, Run())
    (folder / "result.json").unlink()
    os.mkfifo(folder / "result.json")
    assert scan(tmp_path)[0].status == "damaged"
