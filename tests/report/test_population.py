"""A population in the report: present knobs, who took over whom, and no command that could not be typed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from hpo_cli.report import html_lineage
from hpo_cli.report.digest import Digest, digest
from hpo_cli.report.html import page
from tests.population import population
from tests.report.sweeps import Sweep, read


@pytest.fixture
def found(tmp_path: Path) -> Digest:
    return digest(population(tmp_path).state())


def test_the_leaderboard_has_the_knobs_of_now(found: Digest) -> None:
    settings = {row.trial: row.setting["optimizer.lr"] for row in found.rows}
    assert settings == {1: 0.01, 2: 0.02, 3: 0.03}


def test_the_lineage_is_in_the_json(found: Digest) -> None:
    lineage = found.to_json()["lineage"]
    assert [(phase["epoch"], phase["source"]) for phase in lineage[2]] == [(0, None), (2, 1), (4, 3)]


def test_an_arrow_for_every_adoption_from_whom_to_whom(found: Digest) -> None:
    (knob,) = html_lineage.knobs(found)
    assert knob.name == "optimizer.lr"
    chart = html_lineage.lineage_chart(found, knob, place=0)
    arrows = re.findall(r'class="arrow" d="M([\d.]+),([\d.]+) Q[^ ]+ ([\d.]+),([\d.]+)"', chart)
    rows = {trial: float(y) - 4 for y, trial in re.findall(r'y="([\d.]+)" text-anchor="end">trial (\d)<', chart)}
    starts = [min(rows, key=lambda trial, y=y: abs(rows[trial] - float(y))) for _, y, _, _ in arrows]
    ends = [min(rows, key=lambda trial, y=y: abs(rows[trial] - float(y))) for _, _, _, y in arrows]
    assert list(zip(starts, ends, strict=True)) == [("1", "2"), ("3", "2")]
    assert float(arrows[0][0]) < float(arrows[1][0])
    assert chart.count('class="stretch given"') == 2


def test_the_colour_follows_the_value() -> None:
    assert html_lineage.colour(0.0) != html_lineage.colour(1.0)
    assert html_lineage.colour(None) == "var(--axis)"


def test_the_page_has_the_picture_and_says_what_the_settings_are(found: Digest) -> None:
    text = page(found)
    assert "Who took over whom" in text
    assert "not those that it began with" in text
    assert "rung 2" not in text


def test_other_sweeps_have_no_such_picture(tmp_path: Path) -> None:
    assert "Who took over whom" not in page(digest(read(tmp_path, Sweep(trials=5))))
