"""Plans of settings: the same as Hydra composes for the same words, from option files as they were at the start."""

from __future__ import annotations

import random
import statistics
import time
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from hpo_cli.compose import parsed_value
from hpo_cli.composer import Composer, freeze, word_of
from hpo_cli.errors import ConfigError
from hpo_cli.grammar import own_space
from hpo_cli.options import list_options
from hpo_cli.sweep.own import OWN_GROUPS
from hpo_cli.sweep.space import Dimension, Space
from hpo_cli.verbs.composing import ComposeWords, composed

if TYPE_CHECKING:
    from pathlib import Path

LISTED = {
    "model": ("mlp", "cnn", "resnet", "transformer"), "optimizer": ("sgd", "adam", "adamw", "schedule_free", "muon"),
    "regularization": ("default",), "batch": ("default",), "schedule": ("cosine", "cyclical", "plateau"),
    "loss": ("cross_entropy", "focal", "bce"), "init": ("default", "normal"), "augment": ("none", "light"),
}  # fmt: skip
SPACE = Space((
    *(Dimension(group, (group,), choices=names) for group, names in LISTED.items() if len(names) > 1),
    *own_space(LISTED, OWN_GROUPS),
))  # fmt: skip
BASES = (
    ["outputs=o"], ["experiment=large_batch"], ["data=diabetes", "loss=mse"], ["optimizer.lr=0.3"],
    ["model.dropout=0.1"],
    ["regularization.weight_decay=0.01", "data=breast_cancer"], ["schedule.nudges=[{at: 0.5, lr: 1e-4}]"],
)  # fmt: skip


def by_hydra(words: tuple[str, ...], config_dir: Path | None = None) -> tuple[dict[str, Any], dict[str, str]]:
    found = composed(ComposeWords(words, config_dir, "config"))
    return found.plan.to_dict(), found.composition.hydra_files


def agree(composer: Composer, setting: dict[str, Any], config_dir: Path | None = None) -> str:
    """What both say of a setting that is refused, empty when both make the same plan of it."""
    words = (*composer.words, *(word_of(key, value) for key, value in setting.items()))
    refusal, expected = "", None
    try:
        expected = by_hydra(words, config_dir)
    except ConfigError as error:
        refusal = str(error)
    if expected is None:
        with pytest.raises(ConfigError) as caught:
            composer.made(setting)
        assert str(caught.value) == refusal
        return refusal
    made = composer.made(setting)
    assert made.words == words
    assert made.plan.to_dict() == expected[0]
    assert made.hydra_files == expected[1]
    return ""


@pytest.mark.parametrize("base", BASES, ids=" ".join)
def test_plans_and_files_are_those_of_hydra(base: list[str]) -> None:
    composer, rng = Composer(base), random.Random(" ".join(base))
    loss = {"loss=mse": "mse", "data=breast_cancer": "bce"}.get(base[-1], "cross_entropy")
    drawn = {key: value for key, value in SPACE.draw(rng).items() if not key.startswith("loss.")}
    smoothing = {} if loss == "mse" else {"regularization.label_smoothing": 0.1}
    drawn.pop("regularization.label_smoothing", None)
    assert agree(composer, {**drawn, "loss": loss, **smoothing}) in ("", *BOTH_NAMES)
    plain = {"lr": 0.01, "batch_size": 7, "regularization.dropout": 0.25, "model.width": 40, "data.subset": 0.5}
    assert agree(composer, plain) in ("", *BOTH_NAMES)


BOTH_NAMES = (
    "optimizer.lr: is the same quantity as lr; give one of them",
    "regularization.dropout: is the same quantity as model.dropout; give one of them",
    "optimizer.weight_decay: is the same quantity as regularization.weight_decay; give one of them",
)
"""What the words of a base may say against a setting here."""


@pytest.mark.parametrize(
    "setting",
    [
        {"lr": 0.5}, {"optimizer.lr": 0.5}, {"optimizer": "sgd", "optimizer.lr": 0.5}, {"optimizer.weight_decay": 0.5},
        {"regularization.weight_decay": 0.5}, {"model.dropout": 0.5}, {"regularization.dropout": 0.5},
        {"loss.label_smoothing": 0.1}, {"model": "resnet", "regularization.stochastic_depth": 0.2}, {"name": None},
        {"name": "x"},
        {"objective": "val/loss"}, {"optimizer.betas": [0.8, 0.9]}, {"trainer": "cpu"}, {"data": "breast_cancer"},
        {"experiment": "tiny_batch", "lr": 0.2},
        {"loss": "weighted", "loss.terms": {"cross_entropy": 1.0, "focal": 0.5}},
        {"schedule.nudges": [{"at": 0.5, "lr": 1e-4}]}, {"regularization.clip_norm": 1.0}, {"regularization.ema": 0.9},
        {"model.width": "${batch_size}"}, {"data.classes": [0, 1, 2]}, {"tags": ["a", "b,c"]}, {"outputs": "1e3"},
        {"lr": 1}, {"epochs": 2.0}, {"checkpoint.every_minutes": None}, {"+optimizer.maximize": True},
        {"init": "autoencoder"},
        {"optimizer": "schedule_free", "lr": 0.1}, {"optimizer": "schedule_free", "schedule": "cosine"}, {},
    ],
    ids=str,
)  # fmt: skip
def test_every_kind_of_key_is_set_as_hydra_sets_it(setting: dict[str, Any]) -> None:
    assert agree(Composer(["epochs=3"]), setting) == ""


@pytest.mark.parametrize(
    "setting",
    [
        {"lr": -1.0}, {"lr": 0.1, "optimizer.lr": 0.2}, {"optimizer": "adam", "optimizer.momentum": 0.9},
        {"batch_size": "many"},
        {"model.norm": "bath"}, {"epochs": 0, "lr": 0.0}, {"regularization.stochastic_depth": 0.5}, {"loss": "mse"},
        {"nonsense": 1}, {"model": "mpl"}, {"optimizer.lr.x": 1},
    ],
    ids=str,
)  # fmt: skip
def test_a_setting_that_the_plan_refuses_is_refused_in_the_same_words(setting: dict[str, Any]) -> None:
    assert agree(Composer([]), setting)


def test_keys_that_interpolations_read_are_followed(tmp_path: Path) -> None:
    (tmp_path / "optimizer").mkdir()
    (tmp_path / "optimizer" / "mine.yaml").write_text(
        "# Mine\n_target_: torch.optim.SGD\nlr: ${oc.select:batch_size,1}\nmomentum: ${.dampening}\ndampening: 0.5\n"
        "weight_decay: ${regularization.l1}\nfoo: ${oc.env:HOME,${batch_size}}\n"
        "rules: {momentum: {type: float}, dampening: {type: float}}\n"
    )
    composer = Composer(["optimizer=mine", "name=run-${seed}-of-${epochs}"], config_dir=tmp_path)
    for setting in ({"seed": 7}, {"optimizer.dampening": 0.25}, {"regularization.l1": 0.125}, {"epochs": 9, "lr": 2.0}):
        assert agree(composer, setting, tmp_path) == ""
    assert composer.made({"seed": 7, "epochs": 4}).plan.name == "run-7-of-4"


def test_peers_9_files_that_are_edited_during_a_sweep_change_nothing(tmp_path: Path) -> None:
    own, frozen = tmp_path / "own", tmp_path / "sweep" / "conf"
    (own / "model").mkdir(parents=True)
    mine = own / "model" / "mine.yaml"
    text = "# Mine\ndefaults: [mlp, _self_]\nwidth: 16\n"
    mine.write_text(text)
    composer = Composer(["model=mine"], config_dir=own, freeze_to=frozen)
    before = composer.made({"lr": 0.1}).plan
    mine.write_text(text.replace("16", "99"))
    (own / "optimizer").mkdir()
    (own / "optimizer" / "sgd.yaml").write_text("# Other\n_target_: torch.optim.SGD\nlr: 5.0\n")
    assert composer.made({"lr": 0.1, "optimizer": "adam"}).plan.plan_id == before.plan_id
    again = Composer(["model=mine"], config_dir=own, freeze_to=frozen)  # the sweep goes on in another process
    assert again.made({"lr": 0.1}).plan == before
    assert again.made({"optimizer": "sgd"}).plan.lr == 0.05
    assert Composer(["model=mine"], config_dir=own).made({"optimizer": "sgd"}).plan.lr == 5.0  # what would have leaked


def test_a_frozen_folder_has_every_option_and_the_own_ones_win(tmp_path: Path) -> None:
    (tmp_path / "own" / "optimizer").mkdir(parents=True)
    (tmp_path / "own" / "optimizer" / "adam.yaml").write_text("# Mine\n")
    freeze(tmp_path / "own", tmp_path / "to")
    for group in ("model", "sweep", "experiment", "data"):
        assert {path.stem for path in (tmp_path / "to" / group).glob("*.yaml")} == set(list_options(group))
    assert (tmp_path / "to" / "optimizer" / "adam.yaml").read_text() == "# Mine\n"
    assert (tmp_path / "to" / "config.yaml").is_file()


def test_peers_11_a_plan_takes_about_a_millisecond_where_composing_takes_a_hundred() -> None:
    composer = Composer([])
    composer.made({"lr": 0.1, "batch_size": 4})
    fast = [_seconds(lambda i=i: composer.made({"lr": 0.1 + i, "batch_size": 4 + i})) for i in range(60)]
    slow = [_seconds(lambda i=i: by_hydra((f"lr=0.{i}",))) for i in range(1, 4)]
    assert statistics.median(fast) < 0.01
    assert statistics.median(slow) > 10 * statistics.median(fast)


def _seconds(work: Any) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def test_a_composition_serves_every_value_of_the_same_options(monkeypatch: pytest.MonkeyPatch) -> None:
    import hpo_cli.composer as room

    calls: list[Any] = []
    plain = room.template
    monkeypatch.setattr(room, "template", lambda words, **rest: calls.append(words) or plain(words, **rest))
    composer = Composer([])
    for lr in range(1, 20):
        for optimizer in ("adam", "sgd"):
            composer.made({"optimizer": optimizer, "lr": lr / 10, "model.dropout": lr / 40})
    assert len(calls) == 2


@pytest.mark.parametrize(
    "value", [1e-5, 0.1, 1, True, None, "relu", "1e-3", "true", "a,b", "it's", "[x]", "", "a b", [1, "2"]]
)
def test_a_word_gives_the_value_back(value: Any) -> None:
    found = parsed_value("k", word_of("k", value).removeprefix("k="))
    assert found == value
    assert type(found) is type(value)


def test_files_are_plain_yaml() -> None:
    files = Composer([]).made({"lr": 0.5}).hydra_files
    assert set(files) == {"config.yaml", "hydra.yaml", "overrides.yaml"}
    assert yaml.safe_load(files["overrides.yaml"]) == ["lr=0.5"]
