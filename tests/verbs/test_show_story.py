import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpo_cli.console import styles
from hpo_cli.record.lease import Lease
from hpo_cli.record.ledger import Event
from hpo_cli.record.line import living_line
from hpo_cli.record.reading import Status
from hpo_cli.verbs import ls, show
from hpo_cli.verbs.show_story import TOLD, go_on, story_lines
from tests.run_folders import Run, make_run

COSINE = {"option": "cosine", "_target_": "hpo_cli.components.schedules.cosine", "floor": 0.1}
STORY: list[Event] = [
    {"event": "nudged", "step": 40, "id": "n1", "knobs": {"lr": {"old": 0.1, "new": 0.03}}, "who": "ada@laptop",
     "why": "too hot"},
    {"event": "checkpointed", "step": 60, "file": "checkpoints/kept-60.pt", "line": ["n1"], "tag": "good"},
    {"event": "nudged", "step": 80, "id": "n2",
     "knobs": {"schedule": {"old": {"option": "constant"}, "new": COSINE}, "clip_norm": {"old": None, "new": 1.0}}},
    {"event": "checkpointed", "step": 90, "file": "checkpoints/step-90.pt", "line": ["n1", "n2"]},
    {"event": "warned", "step": 99, "what": "val/loss rises"},
    {"event": "rolled_back", "step": 100, "to": 60, "id": "r1", "line": ["n1"], "file": "checkpoints/kept-60.pt",
     "skip_batches": 20, "changes": {"lr": ["*=", 0.9]}, "who": "rule", "why": "train/loss was nan"},
    {"event": "nudged", "step": 60, "id": "n3", "knobs": {"lr": {"old": 0.03, "new": 0.027}}, "scheduled": "r1"},
    {"event": "scheduled", "step": 70, "id": "s1", "due": {"epoch": 5}, "do": "stop", "changes": {},
     "who": "ada@laptop"},
    {"event": "paused", "step": 75, "who": "bob@node7", "why": "lunch"},
    {"event": "unpaused", "step": 75, "who": "bob@node7"},
    {"event": "interrupted", "step": 110, "signal": "SIGTERM"},
    {"event": "resumed", "step": 100, "file": "checkpoints/step-100.pt"},
    {"event": "set_aside", "step": 111, "file": "x.json", "reason": "half written"},
    {"event": "stopped", "step": 120, "who": "ada@laptop", "why": "good enough"},
]  # fmt: skip


@pytest.fixture
def told(outputs: Path) -> Path:
    folder = make_run(outputs, Run(id="eeeeee", status="stopped", minutes_old=0))
    path = folder / "ledger.jsonl"
    lines = path.read_text().splitlines()[:2]
    parent = {"run": "3f9c12", "path": "/runs/3f9c12", "step": 30, "line": [], "partial": True}
    started = json.loads(lines[0]) | {"parent": parent}
    path.write_text("".join(f"{line}\n" for line in [json.dumps(started), lines[1], *map(json.dumps, STORY)]))
    return folder


def test_a_page_tells_what_was_done_in_order(printed: Callable[..., str], told: Path) -> None:
    page = printed(show, "eeeeee")
    lines = [
        "step 40: lr 0.1 -> 0.03  (ada@laptop: too hot)",
        "step 60: tag good: checkpoints/kept-60.pt",
        "step 80: schedule constant -> cosine floor=0.1, clip_norm off -> 1  [abandoned]",
        "step 99: val/loss rises",
        "step 100: rolled back from step 100 to 60 (checkpoints/kept-60.pt), 20 batches skipped, lr*=0.9  (rule: train",
        "step 60: lr 0.03 -> 0.027",
        "step 70: asked for: stop at epoch 5  (ada@laptop)  [waits]",
        "step 75: paused  (bob@node7: lunch)",
        "step 75: unpaused  (bob@node7)",
        "step 110: interrupted by SIGTERM",
        "step 100: resumed from checkpoints/step-100.pt",
        "step 111: set aside x.json: half written",
        "step 120: stopped  (ada@laptop: good enough)",
    ]
    places = [page.find(line) for line in lines]
    assert -1 not in places
    assert places == sorted(places)
    assert "checkpoints" not in page.replace("checkpoints/", "")  # the files are not there
    assert "nudged to    lr=0.027\n" in page
    assert "comes from   branched from 3f9c12 (/runs/3f9c12) at step 30, the weights that fit" in page
    assert "eeeeee  stopped  good enough" in page
    assert page.count("[abandoned]") == 1


def test_a_page_says_how_to_go_on_last(printed: Callable[..., str], told: Path) -> None:
    assert printed(show, "eeeeee").splitlines()[-1] == f"go on  hpo-run resume={told}"
    assert (
        printed(show, "eeeeee")
        .splitlines()[-3]
        .endswith("hpo-run branch /runs/3f9c12 --at step=30 --partial optimizer=adam name=digits")
    )


def test_below_the_default_folder_an_id_is_enough(
    told: Path, outputs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(outputs.parent)
    assert outputs.name == "outputs"
    assert show.main(["eeeeee"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "go on  hpo-run resume=eeeeee"


def test_json_has_it_all(answered: Callable[..., Any], told: Path) -> None:
    found = answered(show, "eeeeee")
    assert [event["event"] for event in found["story"]] == [
        event["event"] for event in STORY if event["event"] != "checkpointed" or "tag" in event
    ]
    assert found["nudged"] == {"lr": 0.027}
    assert found["line"] == ["n1", "r1", "n3"]
    assert [event["id"] for event in found["standing"]] == ["s1"]
    assert found["abandoned"] == ["checkpoints/step-90.pt"]
    assert found["origin"]["step"] == 30
    assert found["go_on"] == f"hpo-run resume={told}"
    assert found["status"] == "stopped"


def test_a_run_that_nobody_touched_has_no_story(answered: Callable[..., Any], printed: Callable[..., str]) -> None:
    found = answered(show, "3f9c12")
    assert found["story"] == found["standing"] == found["line"] == []
    assert found["go_on"] == ""
    page = printed(show, "3f9c12")
    assert "story" not in page
    assert "go on" not in page


@pytest.mark.parametrize(
    ("status", "command"),
    [("died", "hpo-run resume=R"), ("interrupted", "hpo-run resume=R"), ("stopped", "hpo-run resume=R"),
     ("failed", "hpo-run resume=R"), ("paused", "hpo-run unpause R"), ("running", ""),
     ("finished", ""), ("damaged", "")],
)  # fmt: skip
def test_how_to_go_on(status: str, command: str) -> None:
    assert go_on(status, "R") == command


def test_a_long_story_is_cut_at_its_beginning() -> None:
    events: list[Event] = [{"event": "warned", "step": step, "what": "spike"} for step in range(100)]
    lines = story_lines(events, living_line(events))
    assert (len(lines), lines[0], lines[-1]) == (41, "60 earlier ones", "step 99: spike")


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=4,
)
KEYS = st.sampled_from(
    ["id", "to", "line", "knobs", "changes", "due", "do", "file", "tag", "who", "why", "skip_batches"]
)


@given(st.lists(st.tuples(st.sampled_from([*TOLD, "checkpointed", "x"]), st.dictionaries(KEYS, ANY)), max_size=5))
def test_no_event_raises(events: list[tuple[str, dict[str, Any]]]) -> None:
    found = [{**fields, "event": kind, "step": 3} for kind, fields in events]
    assert len(story_lines(found, living_line(found))) <= len(events)


def test_a_listing_shows_who_runs_waits_and_was_stopped(printed: Callable[..., str], outputs: Path) -> None:
    make_run(outputs, Run(id="aaaaaa", status="stopped", minutes_old=0))
    with Lease.acquire(make_run(outputs, Run(id="bbbbbb", status="running", minutes_old=0))) as lease:
        lease.beat(status="paused")
        page = printed(ls)
    assert next(line for line in page.splitlines() if "aaaaaa" in line).split()[3] == "stopped"
    assert next(line for line in page.splitlines() if "bbbbbb" in line).split()[3] == "paused"


def test_every_status_has_a_colour() -> None:
    assert set(styles.STATUS) == set(get_args(Status))
