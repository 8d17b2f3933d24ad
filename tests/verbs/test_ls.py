from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hpo_cli.console import output
from hpo_cli.errors import UserError
from hpo_cli.record.ledger import append
from hpo_cli.verbs import ls
from tests.run_folders import Run, make_run


def test_newest_first_with_what_was_changed(printed: Callable[..., str]) -> None:
    head, *rows = printed(ls).splitlines()
    assert head.split() == ["run", "name", "changed", "status", "val/accuracy", "epochs", "time", "age"]
    assert [row.split()[0] for row in rows] == ["3f9c12", "77aa00", "a1b2c3"]
    assert rows[0].split() == [
        "3f9c12",
        "digits",
        "optimizer=adam",
        "finished",
        "0.9772",
        "20",
        "12.3",
        "s",
        "1",
        "min",
    ]
    assert "optimizer=sgd optimizer.momentum=0.9 lr=0.05" in rows[2]
    assert "(defaults)" in rows[1]
    assert len({len(row) for row in rows}) == 1


def test_by_objective_the_best_comes_first(printed: Callable[..., str], outputs: Path) -> None:
    make_run(outputs, Run(id="eeeeee", name="diabetes", aim="val/loss", mode="min", value=3.0))
    make_run(outputs, Run(id="ffffff", name="diabetes", aim="val/loss", mode="min", value=2.0))
    rows = printed(ls, "--sort", "objective").splitlines()[1:]
    assert [row.split()[0] for row in rows] == ["a1b2c3", "3f9c12", "77aa00", "ffffff", "eeeeee"]
    assert "val/loss 2" in rows[3]
    only = printed(ls, "diabetes").splitlines()[1:]
    assert len(only) == 2


def test_limit(printed: Callable[..., str], outputs: Path) -> None:
    for index in range(40):
        make_run(outputs, Run(id=f"{index:06d}", minutes_old=1000))
    assert len(printed(ls).splitlines()) == 44
    lines = printed(ls, "--limit", "2").splitlines()
    assert len(lines) == 4
    assert lines[-1] == "41 more; --limit 0 shows all"
    assert len(printed(ls, "--limit", "0").splitlines()) == 44


def test_a_terminal_gets_thirty(printed: Callable[..., str], outputs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for index in range(40):
        make_run(outputs, Run(id=f"{index:06d}", minutes_old=1000))
    monkeypatch.setattr(output, "is_terminal", lambda _=None: True)
    monkeypatch.setenv("COLUMNS", "80")
    lines = printed(ls).splitlines()
    assert len(lines) == 32
    assert "13 more" in lines[-1]


def test_json_has_every_field(answered: Callable[..., Any], outputs: Path) -> None:
    first = answered(ls)[0]
    assert first["objective"] == {"name": "val/accuracy", "mode": "max", "value": 0.9772, "step": 800}
    assert first["path"] == str(outputs / "digits" / "3f9c12")
    assert set(first) == {
        "id", "name", "status", "started", "path", "objective", "steps", "epochs", "seconds", "choices", "overrides",
        "settings", "metrics", "best", "weights_sha256", "damage",
    }  # fmt: skip
    assert len(answered(ls)) == 3


def test_no_runs_is_one_friendly_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ls.main(["--outputs", str(tmp_path / "none")]) == 0
    assert capsys.readouterr().out == f"No runs in {tmp_path / 'none'} yet. `hpo-run` makes the first one.\n"
    assert ls.main(["--outputs", str(tmp_path / "none"), "--json"]) == 0
    assert capsys.readouterr().out.split() == ["[", "]"]


def test_the_folder_comes_from_the_environment(
    outputs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HPO_RUN_OUTPUTS", str(outputs))
    assert ls.main([]) == 0
    assert "3f9c12" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--jsn"], r"--jsn: not an option here; did you mean --json\?"),
        (["--lim", "3"], r"--lim: not an option here"),
        (["--limit", "x"], r"--limit: x: must be a whole number"),
        (["--limit", "-1"], r"--limit"),
        (["--sort", "time"], r"--sort: invalid choice"),
        (["digts"], r"digts: no runs of that name; did you mean digits\?"),
        (["zzz"], r"zzz: no runs of that name; there are digits"),
    ],
)
def test_wrong_words_are_refused_in_one_line(outputs: Path, words: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        ls.main([*words, "--outputs", str(outputs)])
    assert "\n" not in str(caught.value)


def test_what_was_nudged_is_shown_as_it_is_now(printed: Callable[..., str], outputs: Path) -> None:
    folder = make_run(outputs, Run(id="c0ffee", overrides=("lr=0.001", "seed=1", "hydra.run.dir=/x/y"), minutes_old=0))
    assert next(line for line in printed(ls).splitlines() if "c0ffee" in line).split()[2:5] == [
        "lr=0.001", "seed=1", "finished",
    ]  # fmt: skip
    knobs = {"lr": {"old": 0.001, "new": 0.0005}}
    append(folder, "nudged", step=40, id="n1", knobs=knobs, who="ada@laptop", why="")
    page = printed(ls)
    assert next(line for line in page.splitlines() if "c0ffee" in line).split()[2:5] == [
        "seed=1", "lr=0.0005*", "finished",
    ]  # fmt: skip
    assert page.splitlines()[-1] == "* as nudged while it trained"
