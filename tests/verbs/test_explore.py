"""`hpo-run explore`: looks at data of every kind, trains nothing and needs no torch."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.command_line import call, fast_yaml, refuse_in_one_line


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    with fast_yaml():
        yield


def page(*words: str) -> str:
    answer = call("explore", *words)
    assert (answer.code, answer.err) == (0, "")
    assert all(len(one) <= 80 for one in answer.out.splitlines() if not one.startswith("warning"))
    return answer.out


def facts(*words: str) -> dict[str, object]:
    return json.loads(call("explore", "--json", *words).out, parse_constant=pytest.fail)


def test_images_are_counted_and_drawn(tmp_path: Path) -> None:
    out = page()
    for text in ("samples  train 1,257, val 270, test 270", "1x8x8 of float32, 0 .. 16", "imbalance 1.05", "good"):
        assert text in out
    assert "▓▓██" in out or "##@@" in out
    assert list(tmp_path.iterdir()) == []


def test_json_tells_the_same() -> None:
    found = facts("data=wine")
    assert found["sizes"] == {"train": 124, "val": 27, "test": 27}
    assert found["targets"][0]["class_counts"]["train"] == {"class_0": 41, "class_1": 49, "class_2": 34}
    assert found["targets"][0]["imbalance"] == pytest.approx(49 / 34)
    assert [one["name"] for one in found["features"]][:2] == ["alcohol", "malic_acid"]
    assert found["warnings"] == []
    assert found["copies"]["in_val"] == 0


@pytest.mark.parametrize(
    ("words", "texts"),
    [
        ("data=wine", ("classes 3, imbalance 1.44", "od280/od315_of_diluted_wines", "and 8 more features")),
        ("data=breast_cancer", ("mean radius mean perimeter 0.9978", "30, in training")),
        (
            "data=diabetes",
            ("target 25 .. 346", "from train", "124 s2 242.4 4.4"),
        ),
        ("data=iris", ("1 validation sample is in training too", "setosa")),
        ("data=mnist1d", ("1x40 of float32", "train 3,400, val 600, test 1,000")),
        ("data=text", ("characters", "most frequent")),
    ],
)
def test_every_kind_of_data_has_its_page(words: str, texts: tuple[str, ...]) -> None:
    out = " ".join(page(words).split())
    for text in texts:
        assert text in out


def test_a_table_with_troubles_is_warned_of() -> None:
    rows = [f"{i},{2 * i},1,{'rare' if i % 30 == 0 else 'usual'}" for i in range(300)]
    Path("t.csv").write_text("a,b,c,kind\n" + "\n".join([*rows, "1,2,1,usual", "1,2,1,rare"]) + "\n")
    out = " ".join(page("data=csv", "data.path=t.csv", "data.target=kind").split())
    for text in (
        "times the samples of the smallest; try loss.class_weights=balanced",
        "fewer than 10 training samples of class rare",
        "1 feature is constant: c",
        "a b 1.0000",
        "an equal with another target",
    ):
        assert text in out
    assert "good" not in out


def test_several_targets_are_each_shown() -> None:
    rows = "\n".join(f"{i},{i % 7},{'ab'[i % 2]}" for i in range(90))
    Path("t.csv").write_text(f"x,price,kind\n{rows}\n")
    words = ["data=csv", "data.path=t.csv", "data.target=[kind,price]", "data.task=several", "loss=multi_task"]
    out = page(*words)
    assert "kind  2, imbalance 1" in out
    assert "price  0 .. 6" in out


def test_classes_and_folds_are_those_of_the_run() -> None:
    found = facts("data.classes=[1,7]", "data.folds=5", "data.fold=2")
    assert list(found["targets"][0]["class_counts"]["train"]) == ["1", "7"]
    sizes = found["sizes"]
    assert sizes["val"] == pytest.approx((sizes["train"] + sizes["val"]) / 5, abs=1)


def test_a_grid_of_images_has_a_class_a_row() -> None:
    assert "written  grid.png" in page("--png", "grid.png")
    with Image.open("grid.png") as image:
        assert image.size == (10 * 50 + 2, 10 * 50 + 2)
        assert np.asarray(image)[5, 5] < 255
    assert "--png x.png: draws images" in refuse_in_one_line("explore", "data=wine", "--png", "x.png")
    assert "cannot be written" in refuse_in_one_line("explore", "--png", "none/x.png")


REFUSED = [
    ("data.classes=[0,17]", "data.classes=17: no such class"),
    ("data=diabetes data.classes=[0,1]", "data.classes=[0,1]: this data has none"),
    ("data.folds=5", "data.folds=5: one run validates on one of them; set data.fold=1"),
    ("data.folds=5 data.fold=6", "data.fold=6: must be 1 .. 5"),
    ("data.folds=1 data.fold=1", "data.folds=1: must be at least 2"),
    ("data.fold=1", "data.fold=1: says which of how many"),
    ("data=text data.folds=5 data.fold=1", "data.folds=5: these samples follow each other"),
    ("data=images data.path=nowhere", "data.path=nowhere: there is no such folder"),
    ("data=cifar10 data.folder=nowhere", "data.folder=nowhere: cifar10 needs"),
    ("data=wnie", "data=wnie"),
    ("--pgn x.png", "hpo-run explore: --pgn: not an option here; did you mean --png?"),
]


@pytest.mark.parametrize(("words", "start"), REFUSED, ids=[words for words, _ in REFUSED])
def test_what_cannot_be_explored_is_refused(words: str, start: str) -> None:
    assert refuse_in_one_line("explore", *words.split()).startswith(start)


def test_it_needs_neither_torch_nor_scikit_learn() -> None:
    code = (
        "import sys; from hpo_cli.verbs.explore import main; main(['data=wine']);"
        "print(sorted({'torch', 'sklearn', 'scipy', 'pandas', 'PIL', 'pytorch_lightning'} & set(sys.modules)))"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.splitlines()[-1] == "[]"
