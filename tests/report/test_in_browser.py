"""The page in a real browser: it is silent, asks for nothing, and shows its pictures at every width."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from hpo_cli.report.digest import digest
from hpo_cli.report.html import page
from tests.report.browser import chromium, shoot, visit
from tests.report.sweeps import ASHA, Sweep, read

pytestmark = [pytest.mark.slow, pytest.mark.skipif(chromium() is None, reason="needs Chromium")]
TWO = (("val/accuracy", "max"), ("params", "min"))
SWEEPS = {"asha": Sweep(rungs=ASHA, trials=81), "aims": Sweep(aims=TWO), "large": Sweep(trials=5000, rungs=ASHA)}
PROBE = """<script>
const found = [...document.querySelectorAll('svg.chart [data-t]')].filter(one => {
  const box = one.getBoundingClientRect();
  return box.width + box.height > 0;
});
const svg = document.querySelector('svg.wide'), mark = document.querySelector('svg.wide .best');
const [x, y] = mark.getAttribute('points').split(' ').pop().split(',').map(Number);
const at = new DOMPoint(x, y).matrixTransform(svg.getScreenCTM());
svg.dispatchEvent(new PointerEvent('pointermove', {clientX: at.x, clientY: at.y}));
const on = new Set([...document.querySelectorAll('.on')].map(one => one.dataset.t));
document.querySelector('th[data-sort]:nth-child(2)').click();
const sorted = [...document.querySelector('table').tBodies[0].rows].map(row => +row.dataset.t);
const wide = document.documentElement.scrollWidth - document.documentElement.clientWidth;
document.body.dataset.probe = [found.length, [...on].join('+'), mark.dataset.t, sorted.join('+'), wide,
  document.getElementById('tip').hidden].join(' ');
</script>"""


def written(tmp_path: Path, sweep: Sweep, *, probe: str = "") -> Path:
    target = tmp_path / "report.html"
    target.write_text(page(digest(read(tmp_path, sweep))).replace("</body>", f"{probe}</body>"))
    return target


@pytest.mark.parametrize("name", SWEEPS)
def test_it_is_silent_asks_for_nothing_and_shows_marks(tmp_path: Path, name: str) -> None:
    seen = visit(written(tmp_path, SWEEPS[name], probe=PROBE), tmp_path)
    assert seen.said == ()
    assert seen.asked == ()
    probe = re.search(r'data-probe="([^"]*)"', seen.dom)
    assert probe is not None
    marks, pointed, best, order, _, hidden = probe[1].split(" ")
    assert int(marks) > 200
    assert (pointed, hidden) == (best, "false")
    numbers = [int(number) for number in order.split("+")]
    assert numbers == sorted(numbers)


@pytest.mark.parametrize("width", [500, 800, 1180, 1920])
def test_nothing_hangs_over_the_edge(tmp_path: Path, width: int) -> None:
    seen = visit(written(tmp_path, SWEEPS["asha"], probe=PROBE), tmp_path, width=width)
    probe = re.search(r'data-probe="([^"]*)"', seen.dom)
    assert probe is not None
    assert int(probe[1].split(" ")[4]) <= 0


def test_the_probe_would_see_a_request_and_an_error(tmp_path: Path) -> None:
    bad = tmp_path / "bad.html"
    bad.write_text("<!doctype html><img src='http://127.0.0.1:9/x.png'><script>nothing.here()</script>")
    seen = visit(bad, tmp_path)
    assert any("nothing is not defined" in line for line in seen.said)
    assert seen.asked == ("http://127.0.0.1:9/x.png",)


def test_light_and_dark_differ(tmp_path: Path) -> None:
    target = written(tmp_path, SWEEPS["aims"])
    pictures = [tmp_path / f"{scheme}.png" for scheme in ("light", "dark")]
    shoot(target, pictures[0], tmp_path, size=(600, 400), scheme="light")
    shoot(target, pictures[1], tmp_path, size=(600, 400), scheme="dark")
    light, dark = (picture.read_bytes() for picture in pictures)
    assert min(len(light), len(dark)) > 5000
    assert light != dark
