"""`hpo-run check`: builds everything, shows it, saves nothing, and refuses what cannot be built."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.command_line import call, refuse, refuse_in_one_line


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_it_shows_the_model_the_batch_and_the_learning_rate(tmp_path: Path) -> None:
    answer = call("check", "schedule=step", "epochs=3")
    assert answer.code == 0
    assert answer.err == ""
    for text in ("linear0", "26,122 parameters", "gradient norm", "120 steps (3 epochs)", "nothing was saved"):
        assert text in answer.out
    assert list(tmp_path.iterdir()) == []


def test_json_tells_the_same() -> None:
    found = json.loads(call("check", "--json", "model.depth=0", "lr=0.5", "schedule=constant").out)
    assert found["parameters"] == 64 * 10 + 10
    assert set(found["lr_values"]) == {0.5}
    assert found["batch_size"] == 32
    assert found["lr_steps"][-1] == found["total_steps"] - 1


REFUSED = [
    ("batch_size=5000", "batch_size=5000: must not exceed the 1257 training samples"),
    ("schedule.warmup_steps=100000", "schedule.warmup_steps=100000: must not exceed"),
    ("model=cnn model.kernel_size=9", "model.kernel_size=9: is larger than the data's 8x8"),
    ("model=cnn model.kernel_size=4", "model.kernel_size=4: must be odd"),
    ("model=cnn model.norm=group model.norm_groups=3", "model.norm_groups=3: must divide"),
    ("model.norm=group model.norm_groups=3", "model.norm_groups=3: must divide"),
    ("model=cnn model.depth=40", "model.depth=40: halves"),
    ("model=cnn data=breast_cancer", "model=cnn: needs images"),
    ("loss=bce", "loss=bce: is for two classes, the data has 10"),
    ("model.width=9000000000000000000", "model=mlp: cannot be built"),
    ("optimizer=sgd optimizer.nesterov=true optimizer.momentum=0", "optimizer.nesterov=true: needs a momentum"),
    ("optimizer._target_=os.system", "optimizer._target_=os.system: is outside the allowed modules"),
    ("model._target_=builtins.eval", "model._target_=builtins.eval: is outside the allowed modules"),
    ("loss._target_=torch.hub.load", "loss._target_=torch.hub.load: is outside the allowed modules"),
    ("data._target_=subprocess.Popen", "data._target_=subprocess.Popen: is outside the allowed modules"),
    ("schedule._target_=torch.load", "schedule._target_=torch.load: is outside the allowed modules"),
    ("init._target_=posix.system", "init._target_=posix.system: is outside the allowed modules"),
    ("+optimizer.momentm=1 optimizer=sgd", "optimizer.momentm: not an option of sgd (lr, momentum,"),
    ("+model.widht=1", "model.widht: not an option of mlp ("),
    ("+model.num_outputs=3", "model.num_outputs: is given by the run itself"),
    ("+model._partial_=true", "model._partial_: not an option of mlp"),
    ("+data.foo=3", "data.foo: not an option of digits"),
    ("+loss.foo=3", "loss.foo: not an option of cross_entropy"),
    ("+schedule.foo=3", "schedule.foo: not an option of cosine"),
    ("+init.foo=3", "init.foo: not an option of default"),
    ("data=mnist data.folder=/nowhere", "data.folder=/nowhere: mnist needs"),
    ("data.subset=0.0001", "data.subset=0.0001: leaves 0 of 1257"),
]


@pytest.mark.parametrize(("words", "start"), REFUSED, ids=[words for words, _ in REFUSED])
def test_what_cannot_be_built_is_refused(words: str, start: str) -> None:
    assert refuse_in_one_line("check", *words.split()).startswith(start)


def test_keys_of_another_target_are_refused_all_at_once() -> None:
    lines = refuse("check", "model._target_=torch.nn.Linear").splitlines()
    assert {line.split(":")[0] for line in lines} >= {"model.depth", "model.width", "model.activation"}
    assert all("not an option of mlp (in_features, out_features" in line for line in lines)


ROWS = "".join(f"{i * 0.1},{i % 7},{'ab'[i % 2]}\n" for i in range(60))
TABLES = {
    "empty": ("", "is empty"),
    "header": ("x,y,c\n", "no rows"),
    "text": (f"x,y,c\n{ROWS}hello,1,a\n", "'hello' in row 61"),
    "nan": (f"x,y,c\n{ROWS},1,a\n", "empty, NaN or infinite values in column 'x'"),
    "inf": (f"x,y,c\n{ROWS}inf,1,a\n", "empty, NaN or infinite values in column 'x'"),
    "one": ("x,y,c\n" + ROWS.replace("b", "a"), "has one value only, 'a'"),
    "rare": (f"x,y,c\n{ROWS}1,1,z\n", "class 'z' has too few samples"),
    "target": (f"x,y,c\n{ROWS}1,1,\n", "has 1 empty or NA values"),
    "twice": (f"x,x,c\n{ROWS}", "names columns twice"),
    "missing": (None, "there is no such file"),
}


@pytest.mark.parametrize("name", TABLES)
def test_bad_tables_are_refused_in_one_line(name: str) -> None:
    text, words = TABLES[name]
    if text is not None:
        Path(f"{name}.csv").write_text(text)
    assert words in refuse_in_one_line("check", "data=csv", f"data.path={name}.csv", "data.target=c", "batch_size=8")


@pytest.mark.parametrize("target", ["zz", "{a:1}", "3", "[]", "[c,zz]"])
def test_bad_targets_are_refused_in_one_line(target: str) -> None:
    Path("good.csv").write_text(f"x,y,c\n{ROWS}")
    assert "data.target" in refuse_in_one_line("check", "data=csv", "data.path=good.csv", f"data.target={target}")


def test_a_good_table_is_checked() -> None:
    Path("good.csv").write_text(f"x,y,c\n{ROWS}")
    assert call("check", "data=csv", "data.path=good.csv", "data.target=c", "batch_size=8", "loss=bce").code == 0


def test_a_package_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_nets_of_check.py").write_text(
        "from torch import nn\n"
        "class Net(nn.Sequential):\n"
        "    def __init__(self, *, input_shape, num_outputs, width=3):\n"
        "        super().__init__(nn.Flatten(), nn.Linear(64, width), nn.Linear(width, num_outputs))\n"
    )
    (tmp_path / "conf" / "model").mkdir(parents=True)
    (tmp_path / "conf" / "model" / "net.yaml").write_text("# Mine\n_target_: my_nets_of_check.Net\nwidth: 5\n")
    monkeypatch.syspath_prepend(tmp_path)
    words = ["check", "--json", "--config-dir", "conf", "model=net"]
    assert "allow_targets=[my_nets_of_check] if you trust it" in refuse_in_one_line(*words)
    found = json.loads(call(*words, "allow_targets=[my_nets_of_check]", "model.width=7").out)
    assert found["parameters"] == 65 * 7 + 8 * 10
