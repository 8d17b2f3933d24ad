import io
import math
import re
from contextlib import redirect_stdout
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpo_cli.console.output import Line, cells
from hpo_cli.console.setting_words import setting_words, short_key
from hpo_cli.console.sparkline import common_span, sparkline
from hpo_cli.console.sweep_frame import Place, sweep_frame
from hpo_cli.console.sweep_table import LiveView, sweep_view
from hpo_cli.sweep.eta import estimate
from hpo_cli.sweep.fold import SweepState
from hpo_cli.sweep.live import LiveRun
from hpo_cli.sweep.tally import Tally
from tests.sweep_story import Story

SETTING = {"optimizer": "adam", "optimizer__lr": 0.00312345, "regularization__dropout": 0.25}


def curve(epochs: int, top: float = 0.95) -> dict[int, tuple[float]]:
    return {epoch: (top * (1 - math.exp(-epoch / 3)),) for epoch in range(1, epochs + 1)}


def running(num: int, *, done: int = 3, **began: Any) -> tuple[SweepState, list[LiveRun], Story]:
    """A sweep with `done` trials that have ended, one that failed, and `num` that train."""
    story = Story.begun(trials=50, workers=num, **began).joined(workers=num)
    for index in range(done):
        story.trial(0.9 + index / 100, seconds=20.0, setting=SETTING)
    story.trial(None, "failed", epoch=1, reason="train/loss was nan at step 12\nTraceback", setting=SETTING)
    numbers = [story.propose(**SETTING) for _ in range(num)]
    for number in numbers:
        story.start(number)
    story.at += 10
    live = [LiveRun(number, 0, 4, 10, 45, 100, None, curve(4)) for number in numbers]
    return story.state(), live, story


def text(lines: list[Line]) -> list[str]:
    return ["".join(span.text for span in line).rstrip() for line in lines]


def shown(
    state: SweepState, live: list[LiveRun], story: Story, *, columns: int = 100, lines: int = 24, **more: Any
) -> list[str]:
    tally = Tally()
    tally.take(state)
    place = Place(columns, lines, **more)
    frame = sweep_frame(state, estimate(state, live, tally, now=story.now), tally, place, now=story.now)
    return text(frame)


def test_all_that_matters_is_there() -> None:
    lines = shown(*running(2))
    whole = "\n".join(lines)
    assert lines[0].startswith("sweep abc123  digits  random")
    assert re.search(r"━+╌+ +\d+ %", lines[1])
    assert lines[1].endswith(" left")
    assert "? left" not in lines[1]
    assert lines[2].startswith("3 of 50 finished  2 running  1 failed")
    assert lines[3] == "best  val/accuracy 0.92  trial 3  optimizer=adam lr=0.003123 dropout=0.25"
    assert lines[5].split() == ["trial", "setting", "val/accuracy", "epoch", "left", "curve"]
    assert "5  optimizer=adam lr=0.0031" in whole
    assert "4/10" in whole
    assert any("⠀" <= letter <= "⣿" for letter in lines[6])
    assert len(lines) == 8


def test_nothing_is_claimed_before_anything_is_known() -> None:
    story = Story.begun(trials=50).joined()
    story.start(story.propose(**SETTING))
    lines = shown(story.state(), [LiveRun(1, epochs=10)], story)
    assert lines[1].endswith("? left")
    assert lines[3] == "best  val/accuracy -"
    assert lines[6].split()[-3:] == ["-", "0/10", "?"]


@given(st.integers(60, 200), st.integers(6, 60), st.integers(1, 40), st.booleans())
def test_the_frame_fits_every_terminal(columns: int, lines: int, num: int, draws: bool) -> None:
    found = shown(*running(num), columns=columns, lines=lines, draws=draws)
    assert len(found) <= lines
    assert max(map(cells, found)) <= columns
    assert found[0].startswith("sweep abc123")
    if len(found) == lines > 8 and num > lines:
        assert re.fullmatch(r"and \d+ more running", found[-1])
        rows = sum(bool(re.match(r" +\d+  ", line)) for line in found)
        assert rows + int(found[-1].split()[1]) == num


def test_a_stream_without_braille_has_no_curves() -> None:
    assert not any("⠀" <= letter <= "⣿" for line in shown(*running(2), draws=False) for letter in line)


def test_what_waits_at_a_rung_is_counted() -> None:
    _, live, story = running(1, scheduler="asha")
    for epoch, value in ((1, 0.5), (1, 0.6), (3, 0.7)):
        number = story.propose(until=epoch, **SETTING)
        story.start(number).end(number, "paused", epoch=epoch, values=[value])
    lines = shown(story.state(), live, story)
    assert lines[-1] == "at its rung  1 at epoch 3 (best 0.7),  2 at epoch 1 (best 0.6)"
    assert "random, asha" in lines[0]


def test_a_held_sweep_says_so() -> None:
    _, live, story = running(1)
    story.tell("held")
    lines = shown(story.state(), live, story)
    assert "paused: no trial begins" in lines[0]
    assert lines[1].endswith("paused")


def test_an_endless_sweep_has_no_bar() -> None:
    story = Story.begun(trials=None).joined()
    assert "until it is stopped" in shown(story.state(), [], story)[1]


def test_seeds_are_rows_of_their_own() -> None:
    story = Story.begun(runs=2).joined()
    number = story.propose(**SETTING)
    story.start(number, 0).start(number, 1)
    lines = shown(story.state(), [LiveRun(1, 0, epochs=10), LiveRun(1, 1, epochs=10)], story)
    assert [line.split()[0] for line in lines[6:]] == ["1-1", "1-2"]


@given(
    st.dictionaries(st.from_regex(r"[a-z]{1,12}(\.[a-z]{1,12})?", fullmatch=True), st.floats() | st.text(max_size=30)),
    st.integers(1, 120),
)
def test_settings_fit_their_room(setting: dict[str, Any], room: int) -> None:
    found = setting_words(setting, list(setting), room=room)
    assert cells(found) <= max(room, 8)
    assert "\n" not in found


def test_keys_are_as_short_as_they_can_be() -> None:
    keys = ["optimizer.lr", "schedule.rate", "loss.rate", "lr"]
    assert [short_key(key, keys) for key in keys] == ["optimizer.lr", "schedule.rate", "loss.rate", "lr"]
    assert short_key("model.depth", keys) == "depth"


def test_a_curve_rises_from_the_left_to_the_right_of_what_is_trained() -> None:
    drawn = sparkline({1: 0.0, 2: 0.5, 3: 1.0, 4: None}, width=5, last=5, span=(0.0, 1.0))
    assert drawn == "⡠⠊⠁  "
    assert sparkline({}, width=3, last=5, span=(0.0, 1.0)) == "   "
    assert common_span([0.0, *[0.5] * 9, 1.0], mode="max") == (0.5, 1.0)
    assert common_span([0.0, *[0.5] * 9, 1.0], mode="min") == (0.0, 0.5)


def test_piped_a_line_for_each_trial_that_ends(capsys: pytest.CaptureFixture[str]) -> None:
    story = Story.begun(trials=9).joined()
    story.trial(0.5, setting=SETTING)
    state = story.state()
    with sweep_view(state) as view:
        view.update(state, [])
        for value, status, reason in (
            (0.9, "finished", ""),
            (0.8, "stopped", ""),
            (None, "failed", "was nan\nat x"),
        ):
            story.trial(value, status, seconds=4.0, setting=SETTING, reason=reason, epoch=10 if value else 2)
        view.update(story.state(state), [])
        number = story.propose(**SETTING)
        story.start(number).end(number, "lost", epoch=1, reason="killed by SIGKILL")
        view.update(story.state(state), [])
        view.said("storage is full")
        story.tell("edited", changes=["sweep.trials: was 9, now 12"], who="ada@x", why="room")
        view.update(story.state(state), [])
    lines = capsys.readouterr().out.splitlines()
    assert lines == [
        "trial 2  val/accuracy 0.9  optimizer=adam lr=0.003123 dropout=0.25  10 epochs, 4.0 s  best so far",
        "trial 3  val/accuracy 0.8  optimizer=adam lr=0.003123 dropout=0.25  10 epochs, 4.0 s  stopped",
        "trial 4  val/accuracy not finite  optimizer=adam lr=0.003123 dropout=0.25  2 epochs, 4.0 s  failed: was nan",
        "trial 5  lost  optimizer=adam lr=0.003123 dropout=0.25: killed by SIGKILL; tried again (1 of 2)",
        "· storage is full",
        "· sweep.trials: was 9, now 12 (ada@x: room)",
    ]


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


@pytest.fixture
def tty(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    out = Terminal()
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("LINES", "30")
    return out


def test_live_failures_and_new_leaders_scroll_and_the_table_stays(tty: Terminal) -> None:
    state, live, story = running(2)
    with redirect_stdout(tty), sweep_view(state) as view:
        assert isinstance(view, LiveView)
        view.update(state, live)
        story.end(5, "failed", epoch=2, reason="out of memory at batch 512")
        story.end(6, values=[0.99], seconds=20.0)
        view._next = 0.0
        view.update(story.state(state), [])
    raw = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", tty.getvalue())
    assert "trial 5 failed" in raw
    assert "out of memory at batch 512" in raw
    assert "best so far  val/accuracy 0.99  trial 6" in raw
    assert raw.count("nan at step 12") == 0  # it was there before
    assert "2 failed" in raw


def test_a_terminal_is_not_drawn_on_more_often_than_it_needs(tty: Terminal) -> None:
    state, live, _ = running(2)
    with redirect_stdout(tty), sweep_view(state) as view:
        view.update(state, live)
        size = len(tty.getvalue())
        for _ in range(20):
            view.update(state, live)
        assert len(tty.getvalue()) == size > 0


def test_no_colour_is_sent_where_none_is_wanted(tty: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    state, live, _ = running(2)
    with redirect_stdout(tty), sweep_view(state) as view:
        view.update(state, live)
    assert "sweep abc123" in tty.getvalue()
    assert not re.search(r"\x1b\[[0-9;]*3[0-7]m|\x1b\[[0-9;]*9[0-7]m", tty.getvalue())


def test_runs_of_other_processes_are_shown_too(tty: Terminal) -> None:
    state, _, _ = running(2)
    with redirect_stdout(tty), sweep_view(state) as view:
        view.update(state, [])
    assert "0/10" in tty.getvalue()
