"""`hpo-run export`: how a run was looked after, as a config with which the same and other models train alike."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from hpo_cli.record.line import Line
from hpo_cli.verbs.export import _merged, _skips, share
from tests.command_line import call, refuse_in_one_line
from tests.verbs.steered import begun, child_of, nudge_at, nudged, rows_of, sha_of, train
from tests.verbs.trained import inside

MACHINE = ("trainer=cpu", "trainer.threads=1", "trainer.log_every_steps=1")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("trained")
    with inside(place):
        nudged("optimizer=momentum", "schedule=linear", "regularization.weight_decay=1e-3")
    return place


def export(*words: str) -> dict[str, Any]:
    answer = call("export", *words, "--json")
    assert answer.code == 0, answer
    return dict(json.loads(answer.out))


def content(path: str) -> dict[str, Any]:
    return dict(yaml.safe_load(Path(path).read_text()))


def test_the_file_says_what_was_chosen_and_when_it_was_nudged(parent: Path) -> None:
    found = content(export("parent", "--to", "mine/experiment/care.yaml")["file"])
    assert found == {
        "defaults": [{"override /schedule": "linear"}, {"override /optimizer": "momentum"}],
        "batch_size": 16,
        "epochs": 4,
        "data": {"subset": 0.1},
        "schedule": {"nudges": [{"at": 0.3, "lr": 0.004, "regularization.dropout": 0.2}, {"at": 0.62, "lr": 0.002}]},
        "regularization": {"dropout": 0.1, "weight_decay": 0.001},
    }


def test_the_same_model_with_the_file_ends_with_the_same_bits(parent: Path) -> None:
    command = export("parent", "--to", "mine/experiment/care.yaml")["command"]
    assert command[:4] == ["hpo-run", "--config-dir", "mine", "experiment=care"]
    again = child_of(*command[1:], *MACHINE)
    assert rows_of(again) == rows_of(parent)
    assert sha_of(again) == sha_of(parent)


def test_another_model_is_looked_after_in_the_same_way(parent: Path) -> None:
    export("parent", "--to", "mine/experiment/care.yaml")
    other = child_of("--config-dir", "mine", "experiment=care", "model=cnn", "model.channels=4", *MACHINE)
    assert [row["lr"] for row in rows_of(other)] == [row["lr"] for row in rows_of(parent)]
    assert sha_of(other) != sha_of(parent)


def test_without_the_nudges_the_rates_are_others(parent: Path) -> None:
    """The negative control."""
    export("parent", "--to", "mine/experiment/care.yaml")
    path = Path("mine/experiment/care.yaml")
    plain = content(str(path))
    del plain["schedule"]["nudges"]
    path.write_text("# @package _global_\n" + yaml.safe_dump(plain, sort_keys=False))
    other = child_of("--config-dir", "mine", "experiment=care", "model.width=16", *MACHINE)
    assert [row["lr"] for row in rows_of(other)] != [row["lr"] for row in rows_of(parent)]


def test_planned_nudges_are_exported_once(parent: Path) -> None:
    first = train(begun("outputs/all/planned", "schedule.nudges=[{at: 0.25, lr: 0.004}]"))
    found = content(export(str(first), "--to", "mine/experiment/a.yaml")["file"])
    assert found["schedule"]["nudges"] == [{"at": 0.2, "lr": 0.004}] or found["schedule"]["nudges"] == [
        {"at": 0.25, "lr": 0.004}
    ]


def test_a_longer_training_is_as_long_from_the_start_and_that_is_said(parent: Path) -> None:
    folder = begun("outputs/all/longer")
    nudge_at(folder, 10, epochs=6)
    train(folder)
    found = export(str(folder), "--to", "mine/experiment/a.yaml")
    assert content(found["file"])["epochs"] == 6
    assert "nudges" not in content(found["file"]).get("schedule", {})
    assert "epochs changed at step 10" in found["notes"][0]
    assert found["notes"][0] in Path(found["file"]).read_text()


def test_by_default_it_lands_in_conf(parent: Path) -> None:
    assert export("parent")["file"] == "conf/experiment/parent.yaml"


@pytest.mark.parametrize(
    ("to", "part"),
    [("x.yaml", "DIR/experiment/NAME.yaml"), ("a/experiment/b c.yaml", "name"), ("a/experiment/there.yaml", "exists")],
)
def test_a_place_that_would_not_be_found_is_refused(parent: Path, to: str, part: str) -> None:
    Path("a/experiment").mkdir(parents=True)
    Path("a/experiment/there.yaml").write_text("lr: 1\n")
    assert part in refuse_in_one_line("export", "parent", "--to", to)
    assert Path("a/experiment/there.yaml").read_text() == "lr: 1\n"


@pytest.mark.parametrize("total", [1, 2, 3, 7, 32, 1000, 99991])
def test_every_step_has_a_share_that_leads_back_to_it(total: int) -> None:
    steps = range(total + 1) if total <= 1000 else range(0, total + 1, 37)
    assert [round(share(step, total) * total) for step in steps] == list(steps)


def test_nudges_on_one_share_are_one(parent: Path) -> None:
    folder = begun("outputs/all/twice")
    nudge_at(folder, 10, lr=0.004, regularization__dropout=0.2)
    nudge_at(folder, 10, lr=0.002)
    train(folder)
    found = content(export("twice", "--to", "mine/experiment/twice.yaml")["file"])
    assert found["schedule"]["nudges"] == [{"at": 0.3, "lr": 0.002, "regularization.dropout": 0.2}]
    again = child_of("--config-dir", "mine", "experiment=twice", "model.width=16", *MACHINE)
    assert sha_of(again) == sha_of(folder)


def test_a_whole_schedule_takes_the_place_of_its_keys_and_later_keys_go_into_it() -> None:
    linear = {"option": "linear", "_target_": "x", "floor": 0.1}
    nudges = [{"at": 0.5, "schedule.floor": 0.3}, {"at": 0.5, "schedule": linear}, {"at": 0.5, "schedule.floor": 0.2}]
    assert _merged(nudges) == [{"at": 0.5, "schedule": {**linear, "floor": 0.2}}]
    assert _merged(nudges[:1]) == nudges[:1]


def test_skipped_batches_are_noted_once(parent: Path) -> None:
    rolled = {"event": "rolled_back", "step": 9, "line": []}
    chain = ({**rolled, "id": "a", "to": 4, "skip_batches": 3}, {**rolled, "id": "b", "to": 8, "skip_batches": 2})
    assert list(_skips(Line(chain))) == ["5 batches skipped at steps 4, 8"]
    assert list(_skips(Line(chain[:1]))) == ["3 batches skipped at step 4"]
    assert list(_skips(Line())) == []
