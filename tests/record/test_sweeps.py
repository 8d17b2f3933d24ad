from datetime import UTC, datetime
from pathlib import Path

import pytest

from hpo_cli.errors import UserError
from hpo_cli.record.places import places, runs_in, walk
from hpo_cli.record.process import this_process
from hpo_cli.record.runs import find_run, scan, scan_own
from hpo_cli.record.sweeps import SweepNoRunError, best_run, find_sweep, read_best, read_sweep_record, scan_sweeps
from tests.run_folders import Run, make_run
from tests.sweep_story import Story, make_sweep

GONE = {"host": this_process().host, "boot": this_process().boot, "namespace": this_process().namespace, "start": "1"}
GONE = {**GONE, "pid": 2**22 - 1}
ELSEWHERE = {"host": "another", "boot": "b", "namespace": "n", "start": "1", "pid": 7}


@pytest.fixture
def outputs(tmp_path: Path) -> Path:
    root = tmp_path / "outputs"
    make_run(root, Run(id="3f9c12", value=0.95, minutes_old=30))
    make_sweep(root, "abc123", trials=12, minutes_old=20)
    make_sweep(root, "abd456", trials=2, minutes_old=25, runs=2)
    make_run(root, Run(id="77aa00", value=0.99, minutes_old=10))
    return root


def test_trials_are_runs_but_no_places_of_their_own(outputs: Path) -> None:
    assert sorted((Path(place.path).name, place.kind) for place in places(outputs)) == [
        ("3f9c12", "run"),
        ("77aa00", "run"),
        ("abc123", "sweep"),
        ("abd456", "sweep"),
    ]
    assert len(list(walk(outputs))) == len(scan(outputs)) == 2 + 12 + 4
    assert [record.id for record in scan_own(outputs)] == ["77aa00", "3f9c12"]
    assert len(list(runs_in(outputs / "digits" / "abd456"))) == 4


def test_a_sweep_in_one_record(outputs: Path) -> None:
    first, second = scan_sweeps(outputs)
    assert (first.id, first.name, first.status, first.trials, first.done, first.failed, first.total) == (
        "abc123",
        "digits",
        "finished",
        12,
        12,
        0,
        12,
    )
    assert first.words == ("optimizer=adam,sgd", "epochs=10")
    assert first.objective is not None
    assert (first.objective.name, first.objective.mode, first.objective.value) == ("val/accuracy", "max", 1.02)
    assert first.best["trial"] == 12
    assert first.seconds == 7.0
    assert first.to_json()["kind"] == "sweep"
    assert (second.id, second.done) == ("abd456", 2)


@pytest.mark.parametrize(
    ("events", "status"),
    [
        ([], "not started"),
        (["here"], "running"),
        (["here", "held"], "paused"),
        (["gone"], "died"),
        (["gone", "here"], "running"),
        (["gone", "left gone"], "interrupted"),
        (["gone", "over", "left gone"], "finished"),
        (["here", "over"], "running"),
        (["gone", "over", "left gone", "edited"], "interrupted"),
        (["elsewhere"], "running"),
        (["elsewhere", "left elsewhere", "gone"], "died"),
    ],
)
def test_how_a_sweep_stands(tmp_path: Path, events: list[str], status: str) -> None:
    story = Story.begun(place=tmp_path / "abc123")
    who = {"here": this_process().to_json(), "gone": GONE, "elsewhere": ELSEWHERE}
    for event in events:
        if event in who:
            story.joined(who[event])
        elif event.startswith("left "):
            story.left(who[event.removeprefix("left ")])
        else:
            story.tell({"over": "ended_sweep"}.get(event, event), why="")
    assert read_sweep_record(story.write()).status == status


def test_a_sweep_elsewhere_is_doubted_when_it_is_quiet(tmp_path: Path) -> None:
    folder = Story.begun(place=tmp_path / "abc123").joined(ELSEWHERE).write()
    late = datetime.now(UTC).timestamp() + 3600
    assert read_sweep_record(folder, now=late).status == "running?"


def test_done_counts_trials_and_not_runs(tmp_path: Path) -> None:
    story = Story.begun(place=tmp_path / "abc123", runs=2, trials=9)
    story.trial(0.9)
    half = story.propose(optimizer="adam")
    story.start(half, 0).end(half, run=0, values=[0.8])
    bad = story.propose(optimizer="adam")
    story.start(bad, 0).end(bad, "failed", run=0)
    waits = story.propose(optimizer="adam")
    for run in range(2):
        story.start(waits, run).end(waits, "paused", run=run, values=[0.5])
    record = read_sweep_record(story.write())
    assert (record.trials, record.done, record.failed, record.total) == (4, 2, 1, 9)
    story.tell("stopping", trial=waits, why="plateau")
    assert read_sweep_record(story.write()).done == 3


def test_a_damaged_log_is_a_damaged_sweep(tmp_path: Path) -> None:
    place = tmp_path / "digits" / "abc123"
    place.mkdir(parents=True)
    (place / "sweep.jsonl").write_text("torn")
    record = read_sweep_record(place)
    assert (record.id, record.name, record.status) == ("abc123", "digits", "damaged")
    assert "beginning" in record.damage
    (place / "best.json").write_text("{")
    assert read_best(place) == {}


@pytest.mark.parametrize(
    ("ref", "found"),
    [
        ("best:abc123", "abc123-12"), ("best:abc", "abc123-12"), ("best:last", "abc123-12"),
        ("best:abd456", "abd456-2-1"),
        ("abc123-7", "abc123-7"), ("abc123-1", "abc123-1"), ("abc123/abc123-7", "abc123-7"),
        ("abd456-1-2", "abd456-1-2"),
        ("last", "77aa00"), ("3f9", "3f9c12"), ("best:digits", "abc123-12"),
    ],
)  # fmt: skip
def test_references_to_runs_of_sweeps(outputs: Path, ref: str, found: str) -> None:
    if "/" in ref:
        ref = f"digits/{ref}"
    assert find_run(ref, outputs).name == found


def test_a_sweeps_folder_is_a_reference_too(outputs: Path) -> None:
    assert find_run(f"best:{outputs}/digits/abc123", outputs / "none").name == "abc123-12"


@pytest.mark.parametrize("ref", ["abc123", "abc", "abc123/", "digits/abc123", "{root}/digits/abc123"])
def test_a_sweep_is_no_run(outputs: Path, ref: str) -> None:
    with pytest.raises(SweepNoRunError, match=r"a sweep, not a run; best:abc123 is .* `hpo-run show abc123`") as caught:
        find_run(ref.format(root=outputs), outputs)
    assert caught.value.sweep.name == "abc123"


@pytest.mark.parametrize(
    ("ref", "message"),
    [
        ("ab", r"^ab: fits 2 runs and sweeps: abc123 \(digits\), abd456 \(digits\)"),
        ("abd456-1", r"^abd456-1: fits 2 runs: abd456-1-"),
        ("abc123-99", r"^abc123-99: no run of the sweep abc123; `hpo-run ls abc123`"),
        ("best:xyz", "no runs of that name"),
    ],
)
def test_what_is_not_found_or_several(outputs: Path, ref: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        find_run(ref, outputs)


def test_last_is_what_a_person_started_last(outputs: Path) -> None:
    make_sweep(outputs, "fff000", minutes_old=5)
    with pytest.raises(
        SweepNoRunError, match=r"^last: the newest is the sweep fff000, not a run; best:fff000"
    ) as caught:
        find_run("last", outputs)
    assert caught.value.sweep.name == "fff000"
    make_run(outputs, Run(id="eee111", minutes_old=1))
    assert find_run("last", outputs).name == "eee111"


def test_no_value_yet_is_said(tmp_path: Path) -> None:
    Story.begun(place=tmp_path / "digits" / "abc123").write()
    with pytest.raises(UserError, match="best:abc123: no trial has a value yet"):
        find_run("best:abc123", tmp_path)


def test_a_best_run_that_is_gone_is_said_and_no_other_folder_is_taken(outputs: Path) -> None:
    sweep = outputs / "digits" / "abc123"
    (sweep / "best.json").write_text('{"run": "../../digits/3f9c12"}')
    with pytest.raises(UserError, match="is gone"):
        best_run(sweep)


@pytest.mark.parametrize(
    ("ref", "found"), [("abc123", "abc123"), ("abd", "abd456"), ("last", "abc123"), ("digits/abc", "abc123")]
)
def test_references_to_sweeps(outputs: Path, ref: str, found: str) -> None:
    assert find_sweep(ref, outputs).name == found
    assert find_sweep(str(outputs / "digits" / found), "none").name == found


@pytest.mark.parametrize(
    ("ref", "message"),
    [
        ("ab", "fits 2 sweeps"), ("abc123-7", "a trial of the sweep abc123"),
        ("digits", "sweeps go by their id: abc123"),
        ("abc132", r"did you mean abc123\?"), ("", "no such sweep"),
    ],
)  # fmt: skip
def test_sweeps_that_are_not_found(outputs: Path, ref: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        find_sweep(ref, outputs)


def test_no_sweeps_at_all(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no sweeps here yet"):
        find_sweep("last", tmp_path)


def test_links_out_of_a_sweep_are_no_sweeps(outputs: Path) -> None:
    (outputs / "again").symlink_to(outputs / "digits" / "abc123")
    assert len(scan_sweeps(outputs)) == 2
