"""Option files read without Hydra give what OmegaConf gives, with inheritance, and say in one line what is wrong."""

from __future__ import annotations

import string
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from hpo_cli.compose import compose
from hpo_cli.errors import ConfigError
from hpo_cli.options import (
    COMPONENT_GROUPS,
    GROUPS,
    SWEEP,
    _Loader,
    conf_folder,
    list_groups,
    list_options,
    main_config,
)
from tests.command_line import compose_and_check, fast_yaml

FILES = sorted(conf_folder().rglob("*.yaml"))


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / f"{name}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_the_files_are_collected() -> None:
    assert len(FILES) >= 38
    assert {path.parent.name for path in FILES} == {"conf", SWEEP, *GROUPS}


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_file_reads_as_omegaconf_reads_it(path: Path) -> None:
    assert yaml.load(path.read_text(), _Loader) == OmegaConf.to_container(OmegaConf.load(path))  # noqa: S506


@pytest.mark.parametrize("group", GROUPS)
def test_every_option_is_read_and_describes_itself(group: str) -> None:
    options = list_options(group)
    assert set(options) == {path.stem for path in (conf_folder() / group).glob("*.yaml")}
    assert all(option.description and option.group == group for option in options.values())
    assert all(("_target_" in option.defaults) == (group in COMPONENT_GROUPS) for option in options.values())


def scalar(text: str, loader: Any) -> object:
    try:
        return repr(loader(f"a: {text}"))
    except (yaml.YAMLError, OmegaConfBaseException, ValueError):
        return "refused"


@given(st.text(alphabet="0123456789._eE+-:xinfaN", min_size=1, max_size=8))
def test_scalars_read_as_omegaconf_reads_them(text: str) -> None:
    ours = scalar(text, lambda content: yaml.load(content, _Loader))  # noqa: S506
    theirs = scalar(text, lambda content: OmegaConf.to_container(OmegaConf.create(content)))
    assert ours == theirs


@pytest.mark.parametrize(
    ("text", "value"),
    [("1e-3", 0.001), ("1E3", 1000.0), ("1_0e1", 100.0), (".5", 0.5), ("2020-01-01", "2020-01-01"), ("010", 8)],
)
def test_numbers_and_dates(text: str, value: object) -> None:
    assert yaml.load(f"a: {text}", _Loader) == {"a": value}  # noqa: S506


def test_comments_and_descriptions_are_kept() -> None:
    adam = list_options("optimizer")["adam"]
    assert adam.description.startswith("First and second moments")
    assert adam.comments["betas"].startswith("rarely worth tuning")
    assert main_config().comments["data.subset"] == "share of the training split that is used"
    assert main_config().comments["lr"] == "each optimizer brings its own default"
    assert list_options("experiment")["fashion_cnn"].description.startswith("A small CNN")


def test_a_shipped_option_inherits() -> None:
    trainer = list_options("trainer")
    assert trainer["cpu"].defaults == {**trainer["default"].defaults, "accelerator": "cpu"}
    assert trainer["cpu"].rules == trainer["default"].rules
    assert trainer["ddp"].defaults["devices"] == 2


CHOSEN = {group: list(list_options(group).values()) for group in GROUPS if group != "experiment"}


@pytest.mark.parametrize("turn", range(max(map(len, CHOSEN.values()))))
def test_inherited_defaults_are_what_hydra_composes(turn: int) -> None:
    options = [choices[turn % len(choices)] for choices in CHOSEN.values()]
    with fast_yaml():
        job = compose([f"{option.group}={option.name}" for option in options]).job
    for option in options:
        plain = {key: value for key, value in option.defaults.items() if "${" not in str(value)}
        assert {key: job[option.group][key] for key in plain} == plain


def test_a_users_folder_adds_and_replaces(tmp_path: Path) -> None:
    write(tmp_path, "optimizer/mine", "# Mine\ndefaults:\n  - adam\n  - _self_\nlr: 0.5\nrules: {lr: {below: 1}}\n")
    write(tmp_path, "optimizer/sgd", "# My sgd\n_target_: torch.optim.SGD\nlr: 0.25\n")
    write(tmp_path, "shape/wide", "# Wide\nwidth: 3\n")
    options = list_options("optimizer", config_dir=tmp_path)
    assert set(options) == {*list_options("optimizer"), "mine"}
    assert options["mine"].defaults["betas"] == [0.9, 0.999]
    assert options["mine"].rules["lr"] == {"below": 1}
    assert options["mine"].rules["eps"] == {"above": 0}
    assert options["sgd"].description == "My sgd"
    assert list_groups(config_dir=tmp_path) == (*GROUPS, "shape")
    assert list_options("optimizer")["sgd"].description != "My sgd"


def test_hydra_takes_the_users_option_too(tmp_path: Path) -> None:
    folder = tmp_path / "my dir, [x]='q'"
    write(folder, "optimizer/mine", "# Mine\ndefaults:\n  - adam\n  - _self_\nlr: 0.5\n")
    write(folder, "optimizer/sgd", "# My sgd\n_target_: torch.optim.SGD\nlr: 0.25\nweight_decay: 0.0\n")
    write(folder, "trainer/default", "# My trainer\naccelerator: cpu\ndevices: 3\n" + REST_OF_TRAINER)
    mine = compose_and_check("--config-dir", str(folder), "optimizer=mine")
    assert mine.plan.lr == 0.5
    assert mine.plan.trainer.devices == 3
    assert compose_and_check("--config-dir", str(folder), "optimizer=sgd").plan.lr == 0.25
    assert compose_and_check("--config-dir", str(folder), "trainer=ddp").plan.trainer.accelerator == "cpu"
    assert compose_and_check("optimizer=sgd").plan.lr == 0.05


REST_OF_TRAINER = (
    "precision: 32-true\nmax_steps: null\ncompile: false\ndeterministic: false\nthreads: 1\nlog_every_steps: 50\n"
    "log_gradients: true\n"
)


@pytest.mark.parametrize(
    "text",
    [
        "a: [\n", "- a\n", "5\n", "defaults: 5\n", "rules: 5\n", "space: [1]\n", "rules: {lr: 5}\n", "1: 2\n",
        "rules: {lr: {abov: 0}}\n", "lr: 1\nlr: 2\n", "? [a]\n: b\n", "lr: !!python/object:os.system x\n",
        "a: \x00\n", "a: \tb\n\tc: d\n", "defaults: [broken]\n", "defaults: [other]\n",
    ],
)  # fmt: skip
def test_a_broken_file_is_told_in_one_line(tmp_path: Path, text: str) -> None:
    write(tmp_path, "optimizer/broken", text)
    write(tmp_path, "optimizer/other", "defaults: [broken]\nlr: 1\n")
    with pytest.raises(ConfigError) as caught:
        list_options("optimizer", config_dir=tmp_path)
    assert len(str(caught.value).splitlines()) == 1
    assert "optimizer" in str(caught.value)


def test_an_option_that_inherits_from_itself_is_told(tmp_path: Path) -> None:
    write(tmp_path, "optimizer/one", "defaults: [two]\nlr: 1\n")
    write(tmp_path, "optimizer/two", "defaults: [one]\nlr: 1\n")
    with pytest.raises(ConfigError, match="inherits from itself"):
        list_options("optimizer", config_dir=tmp_path)


def test_what_is_no_text_is_told_in_one_line(tmp_path: Path) -> None:
    write(tmp_path, "optimizer/latin", "").write_bytes(b"# \xff\n")
    with pytest.raises(ConfigError, match="cannot be read"):
        list_options("optimizer", config_dir=tmp_path)
    (tmp_path / "model" / "folder.yaml").mkdir(parents=True)
    with pytest.raises(ConfigError, match="cannot be read"):
        list_options("model", config_dir=tmp_path)


TEXTS = st.text(st.characters(exclude_categories=["C", "Z"], exclude_characters="$"), max_size=20)


@given(st.dictionaries(st.text(string.ascii_lowercase, min_size=1, max_size=5), TEXTS, max_size=4))
def test_texts_survive_as_omegaconf_writes_them(content: dict[str, str]) -> None:
    assert yaml.load(OmegaConf.to_yaml(OmegaConf.create(content)), _Loader) == content  # noqa: S506
