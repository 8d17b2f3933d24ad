import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpo_cli.console.dashboard import Knob, Room, View, frame, plain_frame
from hpo_cli.console.happenings import happenings
from hpo_cli.console.output import Line, cells
from hpo_cli.console.prompts import Prompt, keys
from hpo_cli.console.traces import Trace
from hpo_cli.console.waiting import Wait
from tests.run_folders import nudged

SMALL, LARGE = Room(80, 24), Room(120, 40)
EVENTS = [
    nudged("a", step=400),
    {"event": "checkpointed", "step": 410, "file": "x", "tag": "good", "line": ["a"]},
    nudged("c", step=650, key="batch_size", old=32, new=64, why=""),
    {"event": "rolled_back", "id": "b", "step": 700, "to": 600, "line": ["a"], "who": "bob@x", "skip_batches": 200},
    {"event": "warned", "step": 750, "what": "the loss jumped"},
]


def traces(**last: Any) -> dict[str, Trace]:
    names = ("train/loss", "val/loss", "val/accuracy", "lr", "train/grad_norm", "train/update_ratio")
    found = {name: Trace() for name in names}
    for step in range(1, 801):
        falling = 2.3 * math.exp(-step / 200)
        values = {"train/loss": falling, "lr": 3e-4, "train/grad_norm": 0.7, "train/update_ratio": 8e-4}
        if step % 40 == 0:
            values |= {"val/loss": falling + 0.1, "val/accuracy": 1 - math.exp(-step / 200)}
        for name, value in values.items():
            found[name].append(step, value)
    for name, value in last.items():
        found[name.replace("__", "/")].append(801, value)
    return found


def view(**fields: Any) -> View:
    known: dict[str, Any] = {
        "id": "3f9c12", "name": "digits", "status": "running", "traces": traces(), "aim": "val/accuracy",
        "best": 0.9712, "best_step": 760, "happenings": happenings(EVENTS), "step": 801, "total": 4000, "epoch": 20,
        "epochs": 100, "steps_per_second": 312.4,
        "knobs": (Knob("lr", 3e-4, "n1"), Knob("batch_size", 32), Knob("regularization.dropout", 0.2)),
    }  # fmt: skip
    return View(**(known | fields))


def text(lines: list[Line]) -> list[str]:
    return ["".join(span.text for span in line).rstrip() for line in lines]


@pytest.mark.parametrize("room", [SMALL, LARGE], ids=["80x24", "120x40"])
def test_the_screen_tells_all_and_fits(room: Room) -> None:
    lines = text(frame(view(), room, keys=keys(Prompt())))
    whole = "\n".join(lines)
    assert len(lines) == room.lines
    assert max(map(cells, lines)) <= room.columns
    assert lines[0].startswith(" digits 3f9c12  running")
    assert lines[0].endswith("epoch 20/100  step 801/4000")
    assert lines[1].endswith("312 steps/s   10.2 s left")
    for said in (
        "loss  ── train",
        "── val",
        "0.9712  at 760",
        "lr now",
        "grad norm 0.7",
        "10^-3.1  fine",
        "batch_size",
    ):
        assert said in whole
    assert lines[-1] == " n nudge  p pause  t tag  r roll back  s stop  +/- zoom  ? help  q quit"


def test_every_kind_of_event_has_its_mark_on_the_axis_and_its_line_below() -> None:
    lines = text(frame(view(), LARGE))
    axis = next(line for line in lines if "└" in line)
    assert all(label in axis for label in ("n1", "t1", "r1", "w1"))
    assert " n1 step 400  lr 0.001 -> 0.0003 (ada: too noisy)" in lines
    assert " r1 step 600  back from step 700, 200 batches skipped (bob)" in lines
    assert " t1 step 410  tag good" in lines
    assert " w1 step 750  the loss jumped" in lines


def test_a_mark_stands_where_its_step_is() -> None:
    lines = text(frame(view(happenings=happenings(EVENTS[:1])), Room(120, 40)))
    axis = next(line for line in lines if "└" in line)
    area = axis[axis.index("└") + 1 :].split(" ")[0]
    assert area.index("n1") == pytest.approx((400 - 1) / 799 * (len(area) - 1), abs=1)


def test_what_a_rollback_undid_is_pale_and_the_nudged_knob_is_not() -> None:
    spans = [span for line in frame(view(), LARGE) for span in line]
    assert {span.style for span in spans if "batch_size 32 -> 64" in span.text} == {"dim"}
    assert {span.style for span in spans if "lr 0.001 -> 0.0003" in span.text} == {""}
    assert any(span.text.strip() == "0.0003" and "bold" in span.style for span in spans)


@pytest.mark.parametrize(
    ("ratio", "verdict"),
    [(8e-4, "fine"), (1.1e-4, "fine"), (0.9e-4, "low"), (0.09, "fine"), (0.11, "high"), (0.0, "no update")],
)
def test_updates_are_judged_by_their_size(ratio: float, verdict: str) -> None:
    lines = text(frame(view(traces=traces(train__update_ratio=ratio)), SMALL))
    assert next(line for line in lines if "update/w" in line).endswith(verdict)


def test_gradients_that_are_not_finite_are_told() -> None:
    assert any(
        "grad norm not finite" in line for line in text(frame(view(traces=traces(train__grad_norm=None)), SMALL))
    )


@pytest.mark.parametrize("status", ["running", "finished"])
def test_a_run_without_rows_has_a_screen(status: str) -> None:
    bare = View(id="3f9c12", name="digits", status=status)
    lines = text(frame(bare, SMALL))
    assert len(lines) == 24
    assert any("no metrics" in line for line in lines)


def test_without_colours_or_braille_curves_have_their_own_marks() -> None:
    plain = "\n".join(text(frame(view(), replace(SMALL, draws=False, colours=False))))
    assert "loss  * train" in plain
    assert "o val" in plain
    assert not any(0x2800 <= ord(letter) < 0x2900 for letter in plain)


def test_zoom_shows_the_newest_part_alone() -> None:
    whole, half = (text(frame(view(), LARGE, zoom=zoom)) for zoom in (0, 2))
    numbers = [lines[next(k for k, line in enumerate(lines) if "└" in line) + 1] for lines in (whole, half)]
    assert "200" in numbers[0]
    assert "200" not in numbers[1]
    assert "800" in numbers[1]


def test_long_news_take_up_to_three_lines_and_never_the_keys() -> None:
    from hpo_cli.console.output import line

    lines = text(frame(view(), SMALL, said=line(" refused  " + "word " * 100), keys=keys(Prompt())))
    assert len(lines) == 24
    assert lines[-1].endswith("q quit")
    assert lines[-2].endswith("…")
    assert sum("word word" in one for one in lines) == 3


def test_a_pipe_gets_no_empty_end() -> None:
    assert text(plain_frame(view(), SMALL))[-1]


@given(st.integers(20, 150), st.integers(4, 50), st.booleans(), st.integers(0, 5))
def test_any_size_is_filled_and_never_passed(columns: int, lines: int, draws: bool, zoom: int) -> None:
    room = Room(columns, lines, draws, draws)
    drawn = text(frame(view(), room, keys=keys(Prompt()), zoom=zoom))
    assert len(drawn) == lines
    assert max(map(cells, drawn)) <= columns


@pytest.mark.parametrize("room", [SMALL, LARGE], ids=["80x24", "120x40"])
def test_what_waits_is_on_the_screen_and_the_rest_is_counted(room: Room) -> None:
    waiting = [Wait(str(k), f"0000000{k}", f"at step {900 + k}", "nudge lr=0.1", "ada@laptop") for k in range(5)]
    lines = text(frame(view(waits=waiting), room, keys=keys(Prompt())))
    assert (len(lines), max(map(cells, lines)) <= room.columns) == (room.lines, True)
    assert " waits  00000000  at step 900: nudge lr=0.1  (ada@laptop)" in lines
    assert "        00000002  at step 902: nudge lr=0.1  (ada@laptop)  (2 more)" in lines
    assert not any("waits" in one for one in text(frame(view(), room)))


def test_the_best_step_is_whole_at_80_columns() -> None:
    lines = text(frame(view(best=0.97123456, best_step=123_456_789), SMALL))
    assert any(one.endswith("at 123456789") for one in lines)
