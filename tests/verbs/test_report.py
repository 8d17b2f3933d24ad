"""`hpo-run report`: one file, where it was asked for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hpo_cli.errors import UserError
from hpo_cli.verbs import report
from tests.report.sweeps import Sweep, write_sweep


@pytest.fixture
def outputs(tmp_path: Path) -> Path:
    write_sweep(tmp_path / "outputs" / "digits" / "3f9c12", Sweep(trials=8))
    return tmp_path / "outputs"


def test_the_report_lies_in_the_sweeps_folder(outputs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert report.main(["3f9c12", "--outputs", str(outputs)]) == 0
    target = outputs / "digits" / "3f9c12" / "report.html"
    assert str(target) in capsys.readouterr().out
    assert target.read_text().startswith("<!doctype html>")
    before = target.read_text()
    assert report.main(["last", "--outputs", str(outputs)]) == 0
    assert target.read_text() == before


def test_it_goes_where_it_is_asked_to(outputs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "page.html"
    assert report.main(["3f9c12", "--output", str(target), "--json", "--outputs", str(outputs)]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said == {"id": "3f9c12", "path": str(target), "bytes": target.stat().st_size}
    assert not (outputs / "digits" / "3f9c12" / "report.html").exists()


def test_a_place_that_cannot_be_written_is_refused(outputs: Path, tmp_path: Path) -> None:
    for place, rule in ((tmp_path, "a folder"), (tmp_path / "no" / "x.html", "cannot be written")):
        with pytest.raises(UserError, match=rule):
            report.main(["3f9c12", "--output", str(place), "--outputs", str(outputs)])


def test_it_is_shown_when_asked(outputs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[str] = []
    monkeypatch.setattr("webbrowser.open", shown.append)
    report.main(["3f9c12", "--open", "--outputs", str(outputs)])
    assert shown == [(outputs / "digits" / "3f9c12" / "report.html").resolve().as_uri()]


def test_there_is_nothing_to_report_without_a_sweep(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no sweeps here yet"):
        report.main(["last", "--outputs", str(tmp_path)])
