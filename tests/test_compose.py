"""Words to a plain dict: Hydra's grammar, two names for one quantity, and nothing given that is not heeded."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from omegaconf import OmegaConf

from hpo_cli.compose import compose
from hpo_cli.errors import ConfigError
from tests.command_line import call, compose_and_check, problems_of


def job(*words: str) -> dict[str, object]:
    return compose(words).job


def test_name_defaults_to_the_data() -> None:
    assert compose_and_check().plan.name == "digits"
    assert compose_and_check("data=diabetes").plan.name == "diabetes"
    assert compose_and_check("name=mine").plan.name == "mine"
    assert compose_and_check("name=null").plan.name == "digits"


def test_choices_name_the_option_of_every_group() -> None:
    found = compose(["optimizer=sgd", "data=diabetes"]).choices
    assert found["optimizer"] == "sgd"
    assert found["loss"] == "mse"
    assert list(found)[:4] == ["model", "init", "loss", "optimizer"]
    assert all(isinstance(name, str) and "/" not in group for group, name in found.items())


@pytest.mark.parametrize(
    ("words", "loss"),
    [
        (["data=diabetes"], "mse"),
        (["data=breast_cancer"], "bce"),
        (["data=breast_cancer", "loss=cross_entropy"], "cross_entropy"),
        (["loss=cross_entropy", "data=breast_cancer"], "cross_entropy"),
        (["data=digits"], "cross_entropy"),
    ],
)
def test_data_brings_its_loss_and_the_command_line_wins(words: list[str], loss: str) -> None:
    assert compose(words).choices["loss"] == loss


def test_an_experiment_overrides_and_is_overridden(tmp_path: Path) -> None:
    plan = compose_and_check("experiment=fashion_cnn").plan
    assert (plan.choices["data"], plan.choices["model"], plan.batch_size, plan.epochs) == (
        "fashion_mnist",
        "cnn",
        64,
        3,
    )
    assert compose_and_check("experiment=fashion_cnn", "epochs=7", "model=mlp").plan.choices["model"] == "mlp"
    (tmp_path / "experiment").mkdir()
    text = "# @package _global_\n# Own\ndefaults:\n  - override /optimizer: sgd\nlr: 0.3\nmodel: {dropout: 0.2}\n"
    (tmp_path / "experiment" / "own.yaml").write_text(text)
    flags = ("--config-dir", str(tmp_path), "experiment=own")
    assert compose_and_check(*flags).plan.lr == 0.3
    assert compose_and_check(*flags, "lr=0.7").plan.lr == 0.7
    assert compose_and_check(*flags, "optimizer.lr=0.7").plan.lr == 0.7
    assert compose_and_check(*flags).plan.regularization.dropout == 0.2
    assert compose_and_check(*flags, "regularization.dropout=0.4").plan.model.args["dropout"] == 0.4


TWINS = [
    ("lr", "optimizer.lr", 0.125),
    ("regularization.weight_decay", "optimizer.weight_decay", 0.125),
    ("regularization.dropout", "model.dropout", 0.125),
    ("regularization.label_smoothing", "loss.label_smoothing", 0.125),
]


def value_at(config: object, dotted: str) -> object:
    for key in dotted.split("."):
        config = config[key]  # type: ignore[index]
    return config


@pytest.mark.parametrize(("one", "other", "value"), TWINS)
def test_both_names_of_a_quantity_mean_it(one: str, other: str, value: float) -> None:
    for given in (one, other):
        config = job(f"{given}={value}")
        assert value_at(config, one) == value_at(config, other) == value
    assert compose_and_check(f"{one}={value}").plan == compose_and_check(f"{other}={value}").plan


@pytest.mark.parametrize(("one", "other", "value"), TWINS)
def test_both_names_at_once_are_refused(one: str, other: str, value: float) -> None:
    with pytest.raises(ConfigError, match="same quantity"):
        job(f"{one}={value}", f"++{other}= {value}")


def test_the_twin_of_some_networks_alone() -> None:
    own, shared = (job("model=transformer", f"{group}.stochastic_depth=0.125") for group in ("model", "regularization"))
    assert own == shared
    assert own["model"]["stochastic_depth"] == own["regularization"]["stochastic_depth"] == 0.125


@pytest.mark.parametrize("word", ["+regularization={dropout: 0.3}", "data={task: regression}", "model={a: 1}"])
def test_a_mapping_is_no_option(word: str) -> None:
    (line,) = problems_of(word)
    assert "is a group: name one of its options" in line


def test_each_optimizer_keeps_its_own_defaults() -> None:
    assert compose_and_check("optimizer=adamw").plan.regularization.weight_decay == 0.01
    assert compose_and_check("optimizer=adam").plan.regularization.weight_decay == 0.0
    assert compose_and_check("optimizer=sgd").plan.lr == 0.05
    assert compose_and_check("optimizer=sgd", "lr=0.5").plan.lr == 0.5


@pytest.mark.parametrize(
    "words",
    [
        [], ["lr=0.3"], ["optimizer=sgd", "tags=[a,'b c',\"d'e\"]"], ["data=diabetes"], ["experiment=fashion_cnn"],
        ["name='ü'", "regularization.dropout=0.5", "++model.depth=1"],
    ],
)  # fmt: skip
def test_cfg_job_prints_what_a_run_would_save(words: list[str]) -> None:
    answer = call("--cfg", "job", *words)
    assert answer.code == 0
    assert answer.err == ""
    composition = compose(words)
    assert answer.out == composition.job_yaml
    printed = OmegaConf.create(answer.out)
    resolved = yaml.safe_load(call("--cfg", "job", "--resolve", *words).out)
    assert set(OmegaConf.to_container(printed, resolve=True)) == set(resolved)
    assert resolved == composition.job
    assert "${" not in yaml.safe_dump(resolved)
    assert not {"space", "rules", "hydra"} & set(resolved)


def test_cfg_hydra_and_all() -> None:
    hydra = yaml.safe_load(call("--cfg", "hydra", "lr=0.5").out)
    assert hydra["hydra"]["overrides"]["task"] == ["lr=0.5"]
    everything = yaml.safe_load(call("--cfg", "all", "lr=0.5").out)
    assert everything["lr"] == 0.5
    assert everything["hydra"] == hydra["hydra"]


def test_overrides_are_listed_as_given() -> None:
    words = ["lr=0.5", "tags=[a,'b c']", "+experiment=null"][:2]
    assert yaml.safe_load(compose(words).overrides_yaml) == words


@pytest.mark.parametrize(
    ("word", "folder"),
    [
        ("hydra.run.dir=a/b", "a/b"), ("hydra.run.dir='a b'", "a b"), ('++hydra.run.dir="a"', "a"),
        ("hydra.run.dir=${oc.env:HOME_OF_RUNS}/x", "there/x"), ("hydra.run.dir=${hydra.job.name}", "hpo-run"),
    ],
)  # fmt: skip
def test_the_runs_folder_is_read_as_hydra_reads_it(monkeypatch: pytest.MonkeyPatch, word: str, folder: str) -> None:
    monkeypatch.setenv("HOME_OF_RUNS", "there")
    assert compose([word]).run_dir == folder


def test_the_last_of_two_folders_counts() -> None:
    assert compose(["hydra.run.dir=a", "hydra.run.dir=b"]).run_dir == "b"
    assert compose([]).run_dir is None


SWEEPS = [
    "lr=1,2", "epochs=choice(1,2)", "batch_size=range(1,3)", "seed=interval(0,1)", "model=glob(*)",
    "optimizer=adam,sgd", "tags=[a],[b]",
]  # fmt: skip
NO_OVERRIDES = [
    "lr==3", "", " ", "lr", "lr =3", " lr=3", "tags=[a", "tags={a", "tags='a", "lr=${", "lr=}", "a b=3",
    "tags=[\udcff]", "name=\x00", "+=3", "~", "~~lr", "+~lr=3", "optimizer.betas[0]=0.5", "@=3",
    "tags=" + "[" * 3000, "lr=1" + "0" * 5000,
]  # fmt: skip


def test_sweeps_are_refused_all_at_once() -> None:
    found = problems_of(*SWEEPS)
    assert len(found) == len(SWEEPS)
    assert all("several values make a sweep" in line for line in found)
    assert len(problems_of("lr=1,2 ")) == 1


def test_what_is_no_override_is_refused_in_one_line_each() -> None:
    found = problems_of(*NO_OVERRIDES)
    assert len(found) == len(NO_OVERRIDES)
    assert all(line.isprintable() for line in found)


@pytest.mark.parametrize("word", ["=3", "=", "lr=a:b:{", "", "lr=${"])
def test_what_is_no_override_is_refused_alone_too(word: str) -> None:
    assert len(problems_of(word)) == 1


@pytest.mark.parametrize(
    "word",
    ["lr=${lr}", "lr=${nope}", "lr=${oc.env:NOPE_NOPE}", "lr=${nope:3}", "lr=${hydra:run.dir}", "name=${name}"],
)  # fmt: skip
def test_an_interpolation_that_leads_nowhere_is_refused(word: str) -> None:
    (line,) = problems_of(word)
    assert line.startswith(word.split("=", maxsplit=1)[0])


def test_an_interpolation_that_leads_somewhere_is_followed() -> None:
    assert compose_and_check("model.width=${batch_size}", "batch_size=16").plan.model.args["width"] == 16


@pytest.mark.parametrize(
    "flags",
    [
        ["--config-dir", "nowhere"], ["--config-dir"], ["--config-name", "nowhere"], ["--config-name", ""],
        ["--config-name", "../x"], ["--cfgg", "job"], ["--cfg", "jobb"], ["-x"], ["--", "lr=1"],
    ],
)  # fmt: skip
def test_wrong_flags_are_refused_in_one_line(flags: list[str]) -> None:
    answer = call(*flags)
    assert answer.code == 2
    assert len(answer.lines) == 1
    assert answer.out == ""


def test_another_main_config_is_found_in_the_users_folder(tmp_path: Path) -> None:
    (tmp_path / "main.yaml").write_text("defaults:\n  - config\n  - _self_\nlr: 0.9\nepochs: 3\n")
    found = compose_and_check("--config-dir", str(tmp_path), "--config-name", "main", "epochs=4")
    assert (found.plan.lr, found.plan.epochs) == (0.9, 4)


@pytest.mark.parametrize("text", ["a: [\n", "5\n", "lr: 1\nlr: 2\n", "lr: &a [*a]\n", "defaults:\n  - nope\nlr: 1\n"])
def test_a_broken_option_is_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "optimizer").mkdir()
    (tmp_path / "optimizer" / "mine.yaml").write_text(text)
    assert len(problems_of("--config-dir", str(tmp_path), "optimizer=mine")) == 1
