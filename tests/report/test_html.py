"""The page: whole, self-contained, and made of what people named without trusting it."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from hpo_cli.report.digest import digest
from hpo_cli.report.html import page
from hpo_cli.sweep.fold import SweepState
from hpo_cli.sweep.space import Dimension, Space
from tests.report.sweeps import ASHA, SPACE, Sweep, read

NASTY = "</script><script>alert(1)</script><img src=x onerror=alert(2)>&\"'"
VOID = {"meta", "link", "br", "input", "line", "circle", "rect", "path", "polyline"}
TWO = (("val/accuracy", "max"), ("params", "min"))
SWEEPS = {
    "plain": Sweep(), "asha": Sweep(rungs=ASHA, trials=81), "seeds": Sweep(trials=8, seeds=3), "aims": Sweep(aims=TWO),
    "empty": Sweep(trials=0, end=None), "running": Sweep(trials=5, running=2, end=None), "one": Sweep(trials=1),
    "all failed": Sweep(trials=6, fail_above=0.0), "nothing varied": Sweep(trials=1, space=Space(())),
}  # fmt: skip


class Reader(HTMLParser):
    """Elements with their attributes, and whether they are closed as they were opened."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def count(self, tag: str, class_: str = "") -> int:
        named = [attrs for name, attrs in self.found if name == tag]
        return sum(not class_ or class_ in (attrs.get("class") or "").split() for attrs in named)


def read_page(state: SweepState) -> Reader:
    return Reader(page(digest(state)))


@pytest.mark.parametrize("name", SWEEPS)
def test_every_sweep_has_a_whole_page_that_asks_for_nothing(tmp_path: Path, name: str) -> None:
    text = page(digest(read(tmp_path, SWEEPS[name])))
    reader = Reader(text)
    assert reader.open == []
    assert reader.count("h1") == 1
    for tag, attributes in reader.found:
        assert tag not in ("iframe", "object", "base", "img", "form"), tag
        for key in ("src", "href", "xlink:href", "action", "poster"):
            assert attributes.get(key, "data:,") == "data:,"
        assert not any(key.startswith("on") for key in attributes)
    assert not re.search(r"https?://|@import|url\((?!#)", text)
    policy = [attrs["content"] for tag, attrs in reader.found if attrs.get("http-equiv") == "Content-Security-Policy"]
    assert "default-src 'none'" in (policy[0] or "")


def test_names_stay_text(tmp_path: Path) -> None:
    space = Space((*SPACE.dimensions, Dimension(f"k{NASTY}", ("nasty",), choices=(NASTY, f"{NASTY}2"))))
    reader = read_page(read(tmp_path, Sweep(name=NASTY, space=space)))
    assert reader.open == []
    assert reader.count("script") == 2
    assert reader.count("img") == 0
    assert NASTY in "".join(reader.text)


def test_the_script_gets_every_trial_as_data(tmp_path: Path) -> None:
    state = read(tmp_path, Sweep(name=NASTY))
    text = page(digest(state))
    data = re.search(r'<script type="application/json" id="trials">(.*?)</script>', text, re.DOTALL)
    assert data is not None
    known = json.loads(data[1])
    assert set(known) == {str(trial.number) for trial in state.trials}


def test_the_pictures_have_a_mark_for_every_trial(tmp_path: Path) -> None:
    state = read(tmp_path, Sweep(trials=50))
    reader = read_page(state)
    ranked = sum(trial.status == "finished" for trial in state.trials)
    assert reader.count("polyline", "curve") == 50
    assert reader.count("polyline", "best") == 1
    assert reader.count("polyline", "failed") == 50 - ranked > 0
    threads = [a for tag, a in reader.found if tag == "path" and "bridge" not in (a.get("class") or "")]
    assert len(threads) == ranked
    assert reader.count("svg", "small") == len(SPACE.dimensions)
    assert 0.7 * 5 * ranked < reader.count("circle", "dot") <= 8 * ranked


def test_rungs_and_the_trade_off_are_drawn_where_there_are_any(tmp_path: Path) -> None:
    assert read_page(read(tmp_path / "a", Sweep(rungs=ASHA, trials=60))).count("line", "rung") == 2
    assert read_page(read(tmp_path / "b")).count("line", "rung") == 0
    assert read_page(read(tmp_path / "c", Sweep(aims=TWO))).count("polyline", "front") == 1
    assert read_page(read(tmp_path / "d")).count("polyline", "front") == 0


def test_what_failed_and_why_is_told(tmp_path: Path) -> None:
    text = "".join(read_page(read(tmp_path)).text)
    assert "What failed" in text
    assert "train/loss was nan at step 40" in text
    assert "What failed" not in "".join(read_page(read(tmp_path / "good", Sweep(fail_above=2.0))).text)


def test_the_page_tells_what_to_type(tmp_path: Path) -> None:
    state = read(tmp_path)
    found = digest(state)
    text = "".join(read_page(state).text)
    assert found.train in text
    assert "hpo-run resume=best:3f9c12 epochs=45" in text
    assert "hpo-run -m data=digits epochs=9 optimizer=sgd,adam sweep=random" in text


def test_a_sweep_with_nothing_finished_says_so(tmp_path: Path) -> None:
    assert "No trial has a value yet" in "".join(read_page(read(tmp_path, SWEEPS["empty"])).text)


def test_many_trials_are_thinned_and_it_says_so(tmp_path: Path) -> None:
    text = page(digest(read(tmp_path, Sweep(trials=1500, rungs=ASHA))))
    reader = Reader(text)
    assert len(text) < 2_000_000
    assert reader.count("polyline", "curve") == 300
    assert "Drawn: 300 of 1500 trials" in "".join(reader.text)
    assert "more trials are not in this table" in "".join(reader.text)
