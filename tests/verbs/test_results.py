"""`hpo-run results`: what it prints in 80 columns, its pictures, and what it never looks at."""

from __future__ import annotations

import json
import zlib
from pathlib import Path

import numpy as np
import pytest

from hpo_cli.record import ledger
from hpo_cli.verbs.results_page import label
from tests.command_line import call, refuse_in_one_line
from tests.verbs.trained import copied, train

NAMES = "of_a_very_long_class"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("trained")
    for num_classes in (12, 30):
        rows = "".join(f"{i % num_classes},{(i * 7) % 11},{NAMES}_{i % num_classes}\n" for i in range(360))
        (place / f"{num_classes}.csv").write_text(f"x,z,c\n{rows}")
    (place / "text.txt").write_text("to be, or not to be: that is the question.\n" * 60)
    return train(
        place,
        digits="",
        signals="data=mnist1d data.subset=0.1",
        numbers="data=diabetes loss=mse",
        dozen=f"data=csv data.path={place}/12.csv data.target=c batch_size=8",
        many=f"data=csv data.path={place}/30.csv data.target=c batch_size=8",
        text=f"data=text data.path={place}/text.txt data.window=16 model=lstm batch_size=8",
    )


@pytest.fixture(autouse=True)
def _here(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(copied(trained, tmp_path))


def test_a_page_about_classes_fits_in_eighty_columns() -> None:
    answer = call("results", "digits")
    assert (answer.code, answer.err) == (0, "")
    for text in ("train", "val", "recall", "precision", "f1", "confusion", "worst mistakes", "worst.png", "accuracy"):
        assert text in answer.out
    assert max(map(len, answer.out.splitlines()[1:-1])) <= 80
    assert len(answer.out.splitlines()) < 60


def test_the_matrix_adds_up_to_the_split() -> None:
    found = json.loads(call("results", "digits", "--json").out)
    (column,) = found["columns"]
    matrix = np.array(column["confusion"])
    assert matrix.sum() == found["samples"] == 270
    assert matrix.trace() / 270 == pytest.approx(found["metrics"]["val"]["accuracy"])
    assert [one["recall"] for one in column["scores"]] == pytest.approx((matrix.diagonal() / matrix.sum(1)).tolist())
    result = json.loads(Path("outputs/all/digits/result.json").read_text())
    assert found["metrics"]["val"]["accuracy"] == result["objective"]["value"]
    printed = [row.split()[1:] for row in call("results", "digits").out.splitlines()]
    for row in matrix.tolist():
        assert [str(count) if count else "-" for count in row] in printed


def test_the_worst_are_as_many_as_asked_for() -> None:
    for wanted in (0, 3):
        found = json.loads(call("results", "digits", "--json", "--worst", str(wanted)).out)
        assert len(found["columns"][0]["worst"]) == wanted
        assert (found["png"] is None) == (wanted == 0)


@pytest.mark.parametrize(
    ("run", "size"), [("digits", (4 * 68 + 4, 4 * 68 + 4)), ("signals", (4 * 84 + 4, 4 * 124 + 4))]
)
def test_the_worst_are_drawn_into_the_runs_folder(run: str, size: tuple[int, int]) -> None:
    found = json.loads(call("results", run, "--json").out)
    assert found["png"] == f"outputs/all/{run}/worst.png"
    assert read_png(Path(found["png"])).shape == size


def read_png(path: Path) -> np.ndarray:
    content = path.read_bytes()
    assert content.startswith(b"\x89PNG\r\n\x1a\n")
    width, height = (int.from_bytes(content[at : at + 4]) for at in (16, 20))
    at = content.index(b"IDAT")
    rows = zlib.decompress(content[at + 4 : at + 4 + int.from_bytes(content[at - 4 : at])])
    return np.frombuffer(rows, np.uint8).reshape(height, -1)[:, 1:][:, :width]


def test_the_training_split_has_a_picture_of_its_own(tmp_path: Path) -> None:
    assert json.loads(call("results", "digits", "--split", "train", "--json").out)["samples"] == 1257
    assert Path("outputs/all/digits/worst-train.png").is_file()
    call("results", "digits", "--png", "mine.png")
    assert Path("mine.png").is_file()
    assert not Path("outputs/all/digits/worst.png").exists()


def test_a_folder_that_takes_no_file_is_no_reason_to_say_nothing() -> None:
    Path("outputs/all/digits/worst.png").mkdir()
    answer = call("results", "digits")
    assert (answer.code, answer.err) == (0, "")
    assert "not written (Is a directory); --png FILE names another place" in answer.out


def test_many_classes_with_long_names_are_listed_by_confusion() -> None:
    answer = call("results", "many")
    assert "confusions  true -> predicted: targets" in answer.out
    assert f"{NAMES}_1 -> " in answer.out
    assert max(map(len, answer.out.splitlines()[1:])) <= 80
    column = json.loads(call("results", "many", "--json").out)["columns"][0]
    assert len(column["class_names"]) == len(column["confusion"]) == 30


def test_columns_whose_names_do_not_fit_are_numbered() -> None:
    lines = call("results", "dozen").out.splitlines()
    head = next(index for index, text in enumerate(lines) if text.startswith("confusion "))
    assert lines[head + 1].split() == [str(number) for number in range(1, 13)]
    matrix = json.loads(call("results", "dozen", "--json").out)["columns"][0]["confusion"]
    for number, (row, text) in enumerate(zip(matrix, lines[head + 2 :], strict=False), start=1):
        first, name, *counts = text.split()
        assert (first, counts) == (str(number), [str(count) if count else "-" for count in row])
        assert name.startswith("of_a_very")


def test_numbers_are_drawn_and_summed_up() -> None:
    answer = call("results", "numbers")
    for text in ("rmse", "bias", "predicted by true", "worst residuals", "* samples"):
        assert text in answer.out
    assert max(map(len, answer.out.splitlines()[1:])) <= 80
    assert not Path("outputs/all/numbers/worst.png").exists()


def test_a_text_tells_of_its_characters() -> None:
    answer = call("results", "text")
    for text in ("perplexity", "position", "' '"):
        assert text in answer.out
    assert label("\n") == "'\\n'"
    assert max(map(len, answer.out.splitlines()[1:])) <= 80


def test_nothing_is_said_in_the_ledger() -> None:
    before = ledger.read_ledger(Path("outputs/all/digits"))
    call("results", "digits")
    assert ledger.read_ledger(Path("outputs/all/digits")) == before


def test_the_test_split_is_refused() -> None:
    assert "`hpo-run test`" in refuse_in_one_line("results", "digits", "--split", "test")


REFUSED = [
    (("digits", "--split", "all"), "must be val or train"),
    (("nowhere",), "no such run"),
    (("digits", "--worst", "-1"), "--worst"),
    (("digits", "--jsn"), "did you mean --json?"),
    (("numbers", "--png", "x.png"), "draws images and signals"),
    (("digits", "--png", "nowhere/x.png"), "cannot be written"),
]


@pytest.mark.parametrize(("words", "text"), REFUSED, ids=[" ".join(words) for words, _ in REFUSED])
def test_wrong_words_are_refused(words: tuple[str, ...], text: str) -> None:
    assert text in refuse_in_one_line("results", *words)


def test_a_plan_that_names_modules_needs_leave() -> None:
    plan = Path("outputs/all/digits/plan.yaml")
    plan.write_text(plan.read_text().replace("allow_targets: []", "allow_targets: [json]"))
    assert "add --allow json if you trust it" in refuse_in_one_line("results", "digits")
    assert call("results", "digits", "--allow", "json").code == 0


def test_weights_of_another_model_are_refused() -> None:
    plan = Path("outputs/all/digits/plan.yaml")
    plan.write_text(plan.read_text().replace("width: 16", "width: 17"))
    assert "do not go together" in refuse_in_one_line("results", "digits")
