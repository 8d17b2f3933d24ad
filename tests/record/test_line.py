import random
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpo_cli.record import jsonl
from hpo_cli.record.ledger import Event, decode_ledger, fold
from hpo_cli.record.line import Line, living_line, settings_of


def nudged(name: str, step: int, *, lr: float = 0.1, **more: Any) -> Event:
    return {"event": "nudged", "id": name, "step": step, "knobs": {"lr": {"old": 1.0, "new": lr}}, **more}


def back(name: str, step: int, to: int, *line: str) -> Event:
    return {"event": "rolled_back", "id": name, "step": step, "to": to, "line": list(line)}


def saved(step: int, *line: str, file: str = "") -> Event:
    return {"event": "checkpointed", "step": step, "file": file or f"step-{step}", "line": list(line)}


def files(events: tuple[Event, ...]) -> list[str]:
    return [event["file"] for event in events]


def test_a_rollback_cuts_the_chain_and_what_was_saved_beyond_it_is_abandoned() -> None:
    events = [
        saved(50),
        nudged("a", 80),
        saved(100, "a"),
        nudged("b", 120),
        saved(150, "a", "b"),
        back("r", 160, 110, "a"),
    ]
    line = living_line(events)
    assert line.ids == ("a", "r")
    assert files(line.checkpoints) == ["step-50", "step-100"]
    assert files(line.abandoned) == ["step-150"]
    assert settings_of(line) == {"lr": 0.1}


def test_what_was_nudged_at_the_boundary_that_is_gone_back_to_comes_before_it_or_not_as_the_line_says() -> None:
    line = Line((nudged("a", 80), nudged("b", 100)))
    assert line.before(100) == ("a",)
    assert line.before(101) == ("a", "b")
    assert line.carries(100, ["a"])
    assert line.carries(100, ["a", "b"])
    assert line.carries(300, ["a", "b"])
    assert not line.carries(101, ["a"])
    assert not line.carries(100, ["b"])
    assert not line.carries(100, [])


def test_the_line_of_a_tagged_checkpoint_can_be_returned_to() -> None:
    events = [
        nudged("a", 10, lr=0.5), saved(20, "a", file="good"), back("r", 30, 5), saved(25, "r", file="other"),
        back("s", 40, 20, "a"),
    ]  # fmt: skip
    line = living_line(events)
    assert line.ids == ("a", "s")
    assert files(line.checkpoints) == ["good"]
    assert files(living_line(events[:4]).checkpoints) == ["other"]


def test_what_was_asked_for_later_stands_until_it_is_done_and_again_when_that_was_undone() -> None:
    asked = {"event": "scheduled", "id": "s", "step": 3, "due": {"step": 9}, "do": "nudge"}
    done = nudged("a", 9, scheduled="s")
    assert living_line([asked]).standing == (asked,)
    assert living_line([asked, done]).standing == ()
    assert living_line([asked, done, back("r", 12, 4)]).standing == (asked,)
    for kind in ("cancelled", "fulfilled"):
        assert living_line([asked, {"event": kind, "step": 5, "scheduled": "s"}]).standing == ()


def test_an_event_that_was_written_twice_counts_once() -> None:
    assert living_line([nudged("a", 3), nudged("a", 3)]).ids == ("a",)


def test_many_checkpoints_are_read_at_once() -> None:
    events = [saved(step) for step in range(20_000)] + [back("r", 20_000, 9_999)]
    line = living_line(events)
    assert (len(line.checkpoints), len(line.abandoned)) == (10_000, 10_000)


# -- any story, against one that is really carried out ---------------------------------------------------------------

Deed = tuple[str, object]


@dataclass
class Life:
    """Trains in earnest: `past` holds every step and event in order, and going back really copies an older past."""

    draw: random.Random
    past: list[Deed] = field(default_factory=list)
    ledger: list[Event] = field(default_factory=list)
    states: list[tuple[Event, list[Deed]]] = field(default_factory=list)
    asked: dict[str, Event] = field(default_factory=dict)
    closed: set[str] = field(default_factory=set)
    reasons: dict[str, str] = field(default_factory=dict)

    @property
    def step(self) -> int:
        return sum(kind == "step" for kind, _ in self.past)

    @property
    def applied(self) -> list[str]:
        return [str(name) for kind, name in self.past if kind == "event"]

    def train(self) -> None:
        for _ in range(self.draw.randint(1, 3)):
            self.past.append(("step", len(self.past)))

    def nudge(self) -> None:
        standing = self.standing()
        reason = self.draw.choice([*standing, ""]) if standing else ""
        name = self._name("n")
        self.ledger.append(nudged(name, self.step, lr=self.draw.random(), **({"scheduled": reason} if reason else {})))
        self.reasons[name] = reason
        self.past.append(("event", name))

    def save(self) -> None:
        event = saved(self.step, *self.applied, file=self._name("f"))
        self.ledger.append(event)
        self.states.append((event, list(self.past)))

    def go_back(self) -> None:
        to = self.draw.randint(0, self.step)
        kept = self._upto(to)
        self._return(kept, to)

    def go_to_state(self) -> None:
        if self.states:
            event, past = self.draw.choice(self.states)
            self._return(list(past), event["step"])

    def ask(self) -> None:
        name = self._name("s")
        event = {"event": "scheduled", "id": name, "step": self.step, "due": {"step": 99}, "do": "nudge"}
        self.asked[name] = event
        self.ledger.append(event)

    def cancel(self) -> None:
        if self.asked:
            name = self.draw.choice(list(self.asked))
            self.closed.add(name)
            kind = self.draw.choice(["cancelled", "fulfilled"])
            self.ledger.append({"event": kind, "step": self.step, "scheduled": name})

    def standing(self) -> list[str]:
        done = {self.reasons.get(name) for name in self.applied}
        return [name for name in self.asked if name not in self.closed and name not in done]

    def _upto(self, to: int) -> list[Deed]:
        """Until right after the step; at 0, nothing at all."""
        kept: list[Deed] = []
        for deed in self.past:
            if sum(kind == "step" for kind, _ in kept) == to:
                break
            kept.append(deed)
        return kept

    def _return(self, past: list[Deed], to: int) -> None:
        name = self._name("r")
        kept = [str(one) for kind, one in past if kind == "event"]
        self.ledger.append(back(name, self.step, to, *kept))
        self.past = [*past, ("event", name)]

    def _name(self, letter: str) -> str:
        return f"{letter}{len(self.ledger)}"


@pytest.mark.parametrize("seed", range(150))
def test_any_story_leaves_the_line_that_was_really_lived(seed: int) -> None:
    life = Life(random.Random(seed))
    deeds = [life.train, life.train, life.nudge, life.save, life.go_back, life.go_to_state, life.ask, life.cancel]
    for _ in range(40):
        life.draw.choice(deeds)()
        line = living_line(life.ledger)
        assert list(line.ids) == life.applied
        alive = [event["file"] for event, past in life.states if life.past[: len(past)] == past]
        assert files(line.checkpoints) == alive
        assert sorted(files(line.abandoned) + alive) == sorted(event["file"] for event, _ in life.states)
        assert [event["id"] for event in line.standing] == life.standing()
        to = life.draw.randint(0, life.step)
        assert list(line.before(to)) == [str(name) for kind, name in life._upto(to) if kind == "event"]
        assert settings_of(line) == newest_lr(life)


def newest_lr(life: Life) -> dict[str, float]:
    rates = {event["id"]: event["knobs"]["lr"]["new"] for event in life.ledger if event["event"] == "nudged"}
    used = [rates[name] for name in life.applied if name in rates]
    return {"lr": used[-1]} if used else {}


def test_most_stories_abandon_something() -> None:
    """The stories above go where it hurts."""
    lives = [Life(random.Random(seed)) for seed in range(30)]
    for life in lives:
        for _ in range(40):
            life.draw.choice([life.train, life.nudge, life.save, life.go_back, life.go_to_state])()
    assert sum(bool(living_line(life.ledger).abandoned) for life in lives) > 20
    assert sum(bool(living_line(life.ledger).checkpoints) for life in lives) > 20


# -- distrust --------------------------------------------------------------------------------------------------------

KINDS = st.sampled_from(
    ["nudged", "rolled_back", "scheduled", "cancelled", "fulfilled", "checkpointed", "resumed", "paused", "unpaused",
     "stopped", "set_aside", "warned", "started"]
)  # fmt: skip
NAMES = st.sampled_from(["a", "b", "c", "d"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 200) | st.floats() | NAMES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES | st.just("new"), inner, max_size=3),
    max_leaves=5,
)
FIELDS = st.sampled_from(["id", "to", "line", "knobs", "scheduled", "due", "do", "file", "tag", "who", "parent"])
KNOBS = st.dictionaries(NAMES, st.just({"new": 1}), max_size=2)
EVENTS = st.builds(
    lambda event, step, fields: {**fields, "event": event, "step": step},
    KINDS, st.integers(0, 99) | VALUES,
    st.dictionaries(FIELDS, VALUES | NAMES | st.integers(0, 99) | KNOBS, max_size=6),
)  # fmt: skip


@settings(deadline=None)
@given(st.lists(EVENTS, max_size=12), st.data())
def test_no_prefix_of_any_ledger_raises(events: list[Event], data: st.DataObject) -> None:
    content = b"".join(jsonl.encode(event) for event in events)
    found = decode_ledger(content[: data.draw(st.integers(0, len(content)))]).events
    line = living_line(found)
    fold(found)
    settings_of(line)
    assert [line.before(step) for step in (0, 50, 10**9)][2] == line.ids
    assert len(line.checkpoints) + len(line.abandoned) == sum(event["event"] == "checkpointed" for event in found)
    assert set(line.ids) <= {str(event.get("id")) for event in found if event["event"] in ("nudged", "rolled_back")}


@given(st.binary(max_size=200))
def test_no_bytes_raise(content: bytes) -> None:
    living_line(decode_ledger(content).events)
