"""Every option of conf/data: what it names exists, its keys are arguments, its loss follows the choice of data."""

import importlib
import inspect
import shutil

import pytest
import yaml
from hydra import compose, initialize_config_dir

from hpo_cli.options import conf_folder, list_options

SHARED = {
    *("task", "val_fraction", "test_fraction", "subset", "standardize", "split_seed", "placement", "num_workers"),
    *("classes", "folds", "fold"),
}
OPTIONS = list_options("data")
LOSSES = {"breast_cancer": "bce", "diabetes": "mse"}


def test_every_option_is_collected():
    assert set(OPTIONS) >= {
        *("digits", "breast_cancer", "diabetes", "mnist", "fashion_mnist", "mnist1d"),
        *("csv", "parquet", "wine", "iris", "cifar10", "cifar100", "images"),
    }


@pytest.mark.parametrize("name", OPTIONS)
def test_its_keys_are_arguments_with_the_same_defaults(name):
    option = OPTIONS[name]
    module, _, function = option.defaults["_target_"].rpartition(".")
    parameters = inspect.signature(getattr(importlib.import_module(module), function)).parameters
    own = {key: value for key, value in option.defaults.items() if key not in SHARED | {"_target_"}}
    assert own.keys() <= parameters.keys()
    assert parameters.keys() - own.keys() <= {"task", "separator"}
    for key, value in own.items():
        default = parameters[key].default
        assert value == ("???" if default is inspect.Parameter.empty else list(default) if default == () else default)
    assert option.description
    assert option.defaults["task"] in ("classification", "regression", "several", "language")


@pytest.mark.parametrize("name", OPTIONS)
def test_the_loss_follows_the_data_unless_it_is_named(name):
    with initialize_config_dir(str(conf_folder()), version_base="1.3"):
        assert chosen_loss(f"data={name}") == LOSSES.get(name, "cross_entropy")
        assert chosen_loss(f"data={name}", "loss=mse") == "mse"
        assert chosen_loss("loss=cross_entropy", f"data={name}") == "cross_entropy"


def chosen_loss(*overrides):
    config = compose("config", list(overrides), return_hydra_config=True)
    target = config.loss["_target_"]
    (name,) = [name for name, option in list_options("loss").items() if option.defaults["_target_"] == target]
    assert config.hydra.runtime.choices["loss"] == name
    assert "loss" not in config.data
    return name


def test_the_loss_must_stand_before_the_data(tmp_path):
    """Hydra lets an option change only the choices that were made before it."""
    shutil.copytree(conf_folder(), tmp_path, dirs_exist_ok=True)
    defaults = yaml.safe_load((tmp_path / "config.yaml").read_text())["defaults"]
    groups = [next(iter(entry)) for entry in defaults if isinstance(entry, dict)]
    assert groups.index("loss") < groups.index("data")
    text = "defaults:\n- data: digits\n- loss: cross_entropy\n- optimizer: adam\n- regularization: default\n"
    (tmp_path / "turned.yaml").write_text(text)
    with (
        initialize_config_dir(str(tmp_path), version_base="1.3"),
        pytest.raises(Exception, match="Could not override 'loss'"),
    ):
        compose("turned", ["data=diabetes"])
