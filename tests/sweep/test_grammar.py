"""The words of a sweep: Hydra's grammar as it is, ranges that reach only the options that have the key."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given, settings
from hypothesis import strategies as st

from hpo_cli.compose import compose
from hpo_cli.errors import ConfigError
from hpo_cli.grammar import own_space, read_sweep_words
from hpo_cli.grammar_together import read_together
from hpo_cli.options import list_groups, list_options
from hpo_cli.sweep.own import OWN_GROUPS, space_problems
from hpo_cli.sweep.space import Condition, Dimension, Space

if TYPE_CHECKING:
    from pathlib import Path


def one(*words: str) -> Dimension:
    """The last dimension that these words vary."""
    return read_sweep_words(words).dimensions[-1]


def problems(*words: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        read_sweep_words(words)
    return str(caught.value).splitlines()


def test_words_are_told_apart() -> None:
    words = (
        "data=digits", "optimizer=adam,sgd", "lr=1e-2,1e-3", "sweep=tpe", "sweep.trials=5", "hydra/launcher=joblib",
        "resume=last", "seed=1,2", "objective=[val/accuracy,params]",
    )  # fmt: skip
    found = read_sweep_words(words)
    assert found.base == ("data=digits", "resume=last", "objective=val/accuracy")
    assert [dimension.name for dimension in found.dimensions] == ["optimizer", "lr"]
    assert found.sweep == ("sweep=tpe", "sweep.trials=5")
    assert found.launcher == ("hydra/launcher=joblib",)
    assert found.aims == ("val/accuracy", "params")
    assert found.inner == ({"seed": 1}, {"seed": 2})
    assert found.groups == ("data", "optimizer")
    assert found.has_ranges
    assert not read_sweep_words(["optimizer=adam,sgd"]).has_ranges
    assert {"data", "lr", "optimizer"} <= set(found.taken)


@pytest.mark.parametrize(
    ("word", "values"),
    [
        ("lr=0.1,0.2", [0.1, 0.2]), ("lr=choice(0.1,0.2)", [0.1, 0.2]), ("epochs=range(1,4)", [1, 2, 3]),
        ("epochs=range(1,8,3)", [1, 4, 7]), ("epochs=range(6,1,-2)", [6, 4, 2]),
        ("lr=range(0.1,0.5,0.1)", [0.1, 0.2, 0.3, 0.4]),
        ("epochs=sort(3,1,2)", [1, 2, 3]), ("epochs=sort(range(3,6),reverse=true)", [5, 4, 3]),
        ("model.norm='batch',none", ["batch", "none"]),
        ("optimizer.betas=[0.9,0.99],[0.8,0.9]", [[0.9, 0.99], [0.8, 0.9]]),
        ("checkpoint.every_steps=null,5", [None, 5]),
        ("optimizer=glob(ada*,exclude=[adad*,adamw])", ["adafactor", "adagrad", "adam", "adamax"]),
        ("data.standardize=true,false", [True, False]), ("lr=float(range(1,3))", [1.0, 2.0]), ("epochs=choice(7)", [7]),
    ],
)  # fmt: skip
def test_lists_have_the_values_of_hydra_in_its_order(word: str, values: list[object]) -> None:
    found = one(word)
    assert list(found.values()) == values
    assert [type(value) for value in found.values()] == [type(value) for value in values]


@settings(deadline=None)
@given(st.integers(-20, 20), st.integers(-20, 20), st.integers(-5, 5).filter(bool))
def test_ranges_of_whole_numbers_are_those_of_hydra(start: int, stop: int, step: int) -> None:
    word = f"+x=range({start},{stop},{step})"
    expected = list(OverridesParser.create().parse_override(word).sweep_iterator())
    if expected:
        assert list(one(word).values()) == expected
    else:
        assert problems(word) == ["x: this range has no values; write range(start,stop,step)"]


def test_a_grid_of_words_is_that_of_hydras_own_sweeper() -> None:
    words = ("optimizer=sgd,adam", "lr=0.1,0.2", "epochs=range(1,3)")
    lists = [[*OverridesParser.create().parse_override(word).sweep_string_iterator()] for word in words]
    space = Space(read_sweep_words(words).dimensions)
    assert [list(map(str, s.values())) for s in space.grid()] == [list(row) for row in itertools.product(*lists)]


def test_a_shuffled_list_has_the_same_order_every_time() -> None:
    word = "epochs=shuffle(range(1,30))"
    values = list(one(word).values())
    assert values == list(one(word).values()) != sorted(values)
    assert sorted(values) == list(range(1, 30))


def test_ranges_know_scale_kind_prior_and_condition() -> None:
    found = one("lr=tag(log,prior:1e-3,high,interval(1e-5,1e-1))")
    assert (found.low, found.high, found.scale, found.prior, found.confidence) == (1e-5, 0.1, "log", 1e-3, "high")
    assert one("model.width=interval(32,512)").kind == "int"  # the key takes whole numbers
    assert one("lr=int(interval(1,3))").kind == one("lr=tag(int,interval(1,3))").kind == "int"
    assert one("lr=interval(1,3)").kind == "float"
    for tag in ("if:model.norm:batch|none", "'if:model.norm=batch|none'"):
        assert one(f"lr=tag({tag},interval(1,3))").when == (Condition("model.norm", ("batch", "none")),)
    assert one("optimizer.betas=tag('prior:[0.9,0.9]',choice([0.9,0.9],[0.8,0.9]))").prior == [0.9, 0.9]
    assert one("model.depth=tag(log,range(1,5))").scale == "log"


def test_an_end_that_the_rule_just_forbids_is_the_next_number_inside() -> None:
    found = one("optimizer=sgd", "optimizer.momentum=interval(0,1)")
    assert found.low == 0
    assert found.high is not None
    assert 0.999 < found.high < 1
    assert problems("optimizer=sgd", "optimizer.momentum=interval(0,1.1)") == [
        "optimizer.momentum=1.1: must be at least 0 and below 1"
    ]


@pytest.mark.parametrize(
    ("word", "line"),
    [
        ("lrr=1,2", "lrr: is no key of the config; did you mean lr?"),
        ("dropout=0,0.5", "dropout: is no key of the config; did you mean regularization.dropout?"),
        ("optimizer.lrr=1,2", "did you mean optimizer.lr?"), ("checkpoint.keep=1,2", "checkpoint.keep: not an option"),
        ("optimizer=adm,sgd", "optimizer=adm: must be one of"), ("optimizer=glob(x*)", "optimizer: no option fits"),
        ("lr=interval(-1,1)", "lr=-1.0: must be above 0"), ("lr=tag(lgo,interval(1,2))", "lr=lgo: is no tag"),
        ("lr=tag(high,interval(1,2))", "has a confidence and no prior"),
        ("lr=tag(prior:9,interval(1,2))", "prior 9 is not in 1 .. 2"),
        ("epochs=tag(log,choice(1,2))", "log and int are tags of ranges"), ("lr=interval(2,1)", "above its high end"),
        ("lr=tag(if:optimiser:sgd,interval(1,2))", "did you mean optimizer?"),
        ("sweep=tpe,random", "a sweep is not swept itself"),
        ("lr=tag(if:optimizer:sdg,interval(1,2))", "did you mean sgd?"),
        ("seed=interval(0,1)", "averaged over and never searched"),
        ("objective=val/accuracy,val/loss", "write several aims as objective=[val/accuracy,params]"),
        ("objective=[val/acuracy]", ""), ("objective=[params,val/loss]", "the first aim is what each run is judged by"),
        ("objective=[acuracy]", "did you mean val/accuracy?"),
        ("model.norm=batch,btach", "model.norm=btach: must be one of"),
        ("lr=(", "is no override"),
    ],
)  # fmt: skip
def test_a_wrong_word_is_named_with_its_key_and_the_way_out(word: str, line: str) -> None:
    if line:
        (found,) = problems(word)
        assert line in found
    else:
        assert read_sweep_words([word]).aims == ("val/acuracy",)  # a metric that the data alone knows


def test_all_wrong_words_are_told_at_once() -> None:
    lines = problems("lrr=1,2", "optimizer=adm,sgd", "epochs=0,1", "lr=1,2")
    assert [line.partition(":")[0].partition("=")[0] for line in lines] == ["optimizer", "lrr", "epochs"]


def test_peers_5_a_range_reaches_only_the_options_that_have_the_key() -> None:
    words = ("optimizer=adam,sgd,momentum", "optimizer.momentum=interval(0,0.9)", "optimizer.nesterov=true")
    found = read_sweep_words(words)
    assert found.base == ()
    _, momentum, nesterov = found.dimensions
    assert momentum.when == (Condition("optimizer", ("sgd", "momentum")),)
    assert nesterov.when == (Condition("optimizer", ("sgd",)),)
    assert nesterov.choices == (True,)
    with pytest.raises(ConfigError, match="not an option of adam"):  # what Hydra's own sweepers would compose
        compose(["optimizer=adam", "optimizer.momentum=0.5"])


def test_peers_7_lists_are_zipped_and_seeds_are_never_searched() -> None:
    words = ("lr=0.1,0.2", "model.depth=1,2", "batch_size=16,32", "sweep.zip=[[lr,batch_size]]", "seed=0,1,2")
    found = read_sweep_words(words)
    assert list(Space(found.dimensions).grid()) == [
        {"lr": 0.1, "batch_size": 16, "model.depth": 1},
        {"lr": 0.1, "batch_size": 16, "model.depth": 2},
        {"lr": 0.2, "batch_size": 32, "model.depth": 1},
        {"lr": 0.2, "batch_size": 32, "model.depth": 2},
    ]
    assert found.inner == ({"seed": 0}, {"seed": 1}, {"seed": 2})


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("lr=0.1,0.2", "batch_size=1,2,3"), "lists that go together have one length (lr has 2, batch_size has 3)"),
        (("lr=0.1,0.2",), "batch_size: is not varied by these words"),
        (("lr=interval(1,2)", "batch_size=1,2"), "lr: is a range"),
    ],
)  # fmt: skip
def test_what_cannot_be_zipped_is_refused(words: tuple[str, ...], line: str) -> None:
    (found,) = problems(*words, "sweep.zip=[[lr,batch_size]]")
    assert line in found


def test_an_option_that_another_brings_has_its_keys() -> None:
    assert one("experiment=char_lstm", "model.layers=1,2").choices == (1, 2)
    assert one("data=diabetes", "loss=huber", "loss.delta=1,2").choices == (1, 2)


def test_own_options_are_listed_too(tmp_path: Path) -> None:
    (tmp_path / "optimizer").mkdir()
    text = "# Own\n_target_: torch.optim.SGD\nlr: 0.1\nspeed: 1.0\nspace: {speed: {low: 0, high: 1}}\n"
    (tmp_path / "optimizer" / "mine.yaml").write_text(text)
    found = read_sweep_words(["optimizer=glob(m*)", "optimizer.speed=1,2"], config_dir=tmp_path)
    assert found.dimensions[0].choices == ("mine", "momentum", "muon")
    assert found.dimensions[1].when == (Condition("optimizer", ("mine",)),)
    assert [d.name for d in own_space({"optimizer": "mine"}, config_dir=tmp_path)] == ["optimizer.speed"]


def test_the_space_of_one_option() -> None:
    found = {d.name: d for d in own_space({"optimizer": "sgd"})}
    assert set(found) == {"optimizer.lr", "optimizer.weight_decay"}
    assert (found["optimizer.lr"].low, found["optimizer.lr"].high, found["optimizer.lr"].scale) == (1e-2, 1e-1, "log")
    assert own_space({"optimizer": "sgd"}, taken=["lr"])[0].name == "optimizer.weight_decay"  # under its other name


def test_several_options_have_their_own_spaces_under_their_own_names() -> None:
    listed = ("sgd", "adam")
    found = own_space({"optimizer": listed})
    assert [d.name for d in found][:2] == ["sgd: optimizer.lr", "sgd: optimizer.weight_decay"]
    assert all(d.when == (Condition("optimizer", (d.name.partition(":")[0],)),) for d in found)
    Space((Dimension("optimizer", ("optimizer",), choices=listed), *found))  # no two of them meet


def test_keys_that_the_other_choices_refuse_are_left_out() -> None:
    names = {d.name for d in own_space(choices(model="mlp"))}
    assert "regularization.dropout" in names
    assert "regularization.stochastic_depth" not in names
    assert "regularization.stochastic_depth" in {d.name for d in own_space(choices(model="resnet"))}
    assert "regularization.label_smoothing" not in {d.name for d in own_space(choices(loss="mse"))}
    assert "regularization.mixup" not in {d.name for d in own_space(choices(data="text"))}
    both = {d.name: d for d in own_space({**choices(), "model": ("mlp", "resnet")})}
    assert both["regularization.stochastic_depth"].when == (Condition("model", ("resnet",)),)


def test_an_entry_has_conditions_of_its_own() -> None:
    found = {d.name: d for d in own_space({"schedule": "cyclical"})}
    assert found["schedule.final"].when == (Condition("schedule.mode", ("exp_range",)),)
    assert found["schedule.mode"].when == ()


def test_batch_size_has_powers_of_two() -> None:
    (found,) = own_space({"batch": "default"})
    assert (found.name, found.choices) == ("batch_size", (16, 32, 64, 128, 256))


@pytest.mark.parametrize("group", OWN_GROUPS)
def test_every_space_of_a_group_is_one(group: str) -> None:
    everything = {**choices(), group: tuple(list_options(group))}
    chosen = Dimension(group, (group,), choices=everything[group])
    Space((chosen, *own_space(everything, [group])))


def choices(**changes: str) -> dict[str, str]:
    return {
        "model": "mlp", "optimizer": "adam", "regularization": "default", "batch": "default", "schedule": "cosine",
        "loss": "cross_entropy", "init": "default", "augment": "none", "data": "digits", **changes,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("model.width=16,32 model.width=8", "model.width: is given 2 times (model.width=16,32 model.width=8)"),
        ("seed=1,2 seed=3", "seed: is given 2 times"),
        ("~lr=0.1,0.2", "~lr=0.1,0.2: takes a key away"),
        ("outputs=a,b", "outputs: is where the whole sweep lies"),
        ("lr=0.1,0.2 sweep.zip=[[lr,lr]]", "names lr twice"),
        ("lr=tag(prior:0.1,prior:0.2,interval(0.1,1))", "has more than one prior (prior:0.1, prior:0.2)"),
        ("lr=tag(prior:0.1,low,high,interval(0.1,1))", "has more than one confidence (high, low)"),
        ("lr=tag(log,interval(0,1))", "a log scale begins above 0"),
        ("model.width=range(1,100000000)", "lists 99,999,999 values"),
        ("optimizer=adam,momentum optimizer.momentun=interval(0,1)", "optimizer.momentum (of momentum)?"),
        ("optimizer=adam,momentum optimizer.momentun=0.9", "optimizer.momentum (of momentum)?"),
        ("optimizer=adam,sgd optimizer.alpha=interval(0,1)", "not an option of adam, sgd; rmsprop has it"),
    ],
)
def test_words_that_would_not_count_are_refused(words: str, line: str) -> None:
    (said,) = problems(*words.split())
    assert line in said


def test_one_line_for_every_word_that_is_wrong() -> None:
    words = "lr=1e-2,1e-3 sweep=foo sweep.trails=3 model.widht=3 sched=cosine bacth_size=3"
    with pytest.raises(ConfigError) as caught:
        read_together(words.split())
    lines = str(caught.value).splitlines()
    assert [line.partition(":")[0] for line in lines] == [
        "sweep=foo", "sweep.trails=3", "model.widht", "sched", "bacth_size",
    ]  # fmt: skip
    with pytest.raises(ConfigError) as caught:
        read_together(["epochs=-1", "sweep=foo", "optimizer=adam,sgd"])
    assert [line.partition(":")[0] for line in str(caught.value).splitlines()] == ["sweep=foo", "epochs=-1"]


@pytest.mark.parametrize(
    "word", ["hydra/launcher=nope", "hydra/sweeper=basic", "hydra.sweep.dir=x", "hydra.sweeper.n=1"]
)
def test_words_of_hydra_that_have_no_effect_are_refused(word: str) -> None:
    with pytest.raises(ConfigError, match="hydra"):
        read_together([word])
    assert read_together(["hydra/launcher=basic"]).found.launcher == ("hydra/launcher=basic",)


def test_a_space_of_a_users_own_file_is_checked_as_a_whole(tmp_path: Path) -> None:
    file = tmp_path / "model" / "mine.yaml"
    file.parent.mkdir()
    file.write_text(
        "defaults: [mlp, _self_]\nspace:\n  widht: {low: 1, high: 4}\n  depth: {low: -1, high: 4}\n"
        "  dropout: {low: 0, high: 3}\n  activation: {choices: [relu, foo]}\n  pieces: {low: 2, hihg: 4}\n"
    )
    with pytest.raises(ConfigError) as caught:
        own_space({**choices(), "model": "mine"}, config_dir=tmp_path)
    lines = str(caught.value).splitlines()
    assert all(line.startswith(f"{file}: space: ") for line in lines)
    wrong = {line.split(": ")[2]: line for line in lines}
    assert set(wrong) == {"widht", "depth", "dropout", "activation", "pieces"}
    assert wrong["widht"].endswith("did you mean width?")
    assert "3 must be at least 0 and below 1" in wrong["dropout"]


def test_no_space_of_ours_has_a_value_that_is_refused() -> None:
    options = [option for group in list_groups() for option in list_options(group).values()]
    assert sum(len(option.space) for option in options) > 100
    assert [str(problem) for option in options for problem in space_problems(option)] == []
