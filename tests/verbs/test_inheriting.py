"""The words of a child: later ones win, under whatever name; what fits no more goes aloud; values come back equal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpo_cli.compose import parsed_value
from hpo_cli.errors import UserError
from hpo_cli.steer.changes import Setting, revised
from hpo_cli.verbs.composing import ComposeWords
from hpo_cli.verbs.inheriting import absolute, inherit, key_of, nudge_words, own_words, trusting, typed
from tests.command_line import compose_and_check

LINEAR = "hpo_cli.components.schedules.linear"


def setting(*words: str) -> Setting:
    plan = compose_and_check(*words).plan
    return Setting(dict(plan.config), dict(plan.choices))


def merged(own: list[str], nudges: list[str], asked: list[str]) -> list[str]:
    return list(inherit(ComposeWords(tuple(own), None, "config"), nudges, asked).words.overrides)


@pytest.mark.parametrize(
    ("own", "nudges", "asked", "expected"),
    [
        (["lr=1"], [], ["lr=2"], ["lr=2"]),
        (["optimizer.lr=1"], ["lr=2"], [], ["lr=2"]),
        (["lr=1"], ["lr=2"], ["optimizer.lr=3"], ["optimizer.lr=3"]),
        (["model.dropout=0.1"], [], ["regularization.dropout=0.2"], ["regularization.dropout=0.2"]),
        (["++seed=3"], [], ["seed=4"], ["seed=4"]),
        (["optimizer=adam", "seed=1"], [], ["optimizer=sgd"], ["seed=1", "optimizer=sgd"]),
        (["optimizer.betas=[0.8,0.9]"], [], ["optimizer=sgd"], ["optimizer=sgd"]),
        (["optimizer.betas=[0.8,0.9]"], [], ["optimizer=adamw"], ["optimizer.betas=[0.8,0.9]", "optimizer=adamw"]),
        (["schedule.warmup_steps=3"], [], ["schedule=linear"], ["schedule.warmup_steps=3", "schedule=linear"]),
        (["data.subset=0.5", "data=digits"], [], ["data=wine"], ["data.subset=0.5", "data=wine"]),
    ],
)
def test_later_words_win(own: list[str], nudges: list[str], asked: list[str], expected: list[str]) -> None:
    assert merged(own, nudges, asked) == expected


def test_what_a_new_option_has_no_place_for_is_told() -> None:
    own = ComposeWords(("optimizer.betas=[0.8,0.9]", "lr=0.1"), None, "config")
    found = inherit(own, [], ["optimizer=sgd"])
    assert found.dropped == ("optimizer.betas=[0.8,0.9]: left out, optimizer=sgd has no such key",)
    assert found.changes == ("optimizer=sgd",)


@pytest.mark.parametrize(
    ("words", "changes"),
    [
        ((), {"lr": ["=", 0.0123]}),
        ((), {"regularization.clip_norm": ["=", 1.5], "epochs": ["+=", 7]}),
        ((), {"optimizer.betas": ["=", [0.7, 0.99]], "regularization.ema": ["=", 0.9]}),
        (("regularization.ema=0.9",), {"regularization.ema": ["=", None]}),
        (("schedule=step",), {"schedule.factor": ["=", 0.3]}),
        (
            (),
            {
                "schedule": [
                    "=",
                    {"option": "linear", "_target_": LINEAR, "rate": 1.0, "floor": 0.2},
                ],
                "schedule.warmup_steps": ["=", 5],
            },
        ),
        (("loss=cross_entropy_center",), {"loss.weight": ["=", 0.125]}),
        (
            ("data=csv", "data.path=x.csv", "data.target=[a,b]", "data.task=several", "loss=multi_task"),
            {"loss.terms.a.weight": ["=", 0.5]},
        ),
    ],
)
def test_nudges_as_words_make_the_config_that_they_made(words: tuple[str, ...], changes: dict[str, Any]) -> None:
    begun = setting(*words)
    now = revised(*begun, changes)
    again = setting(*merged(list(words), nudge_words(begun, now), []))
    assert again.choices == now.choices
    assert again.config == now.config
    assert nudge_words(begun, begun) == []


def test_relative_words_act_on_what_the_config_has() -> None:
    base = setting("lr=0.3", "epochs=10")
    assert absolute("lr/=3", base) == "lr=0.09999999999999999"
    assert absolute("optimizer.lr*=2", base) == "optimizer.lr=0.6"
    assert absolute("epochs+=5", base) == "epochs=15"
    assert absolute("data.path=a*=b", base) == "data.path=a*=b"
    with pytest.raises(UserError, match="cannot change while a run trains"):
        absolute("model.depth+=1", base)


def started(*words: str, **fields: Any) -> dict[str, Any]:
    return {"command": ["hpo-run", *words], "overrides": [word for word in words if "=" in word], **fields}


def test_own_words_are_read_from_where_the_run_was_started(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    words = ("--config-dir", "mine", "--config-name", "other", "lr=1", "hydra.run.dir=x", "watch=true", "outputs=runs")
    found = own_words(started(*words, cwd=str(tmp_path)))
    assert found.config_dir == tmp_path / "mine"
    assert found.config_name == "other"
    assert found.overrides == ("lr=1", f"outputs='{tmp_path}/runs'")
    with pytest.raises(UserError, match="not there any more"):
        own_words(started("--config-dir", "gone", cwd=str(tmp_path)))
    assert own_words({}).overrides == ()


@pytest.mark.parametrize(
    ("words", "config_dir", "targets", "expected"),
    [
        (("lr=1",), None, (), ("lr=1",)),
        (("lr=1", "allow_targets=[evil]", "++allow_targets=[evil]"), None, (), ("lr=1",)),
        (("allow_targets=[evil]", "lr=1"), None, ("mine",), ("allow_targets=[mine]", "lr=1")),
        (("lr=1",), Path("theirs"), (), ("allow_targets=[]", "lr=1")),
    ],
)
def test_only_what_is_trusted_may_run(
    words: tuple[str, ...], config_dir: Path | None, targets: tuple[str, ...], expected: tuple[str, ...]
) -> None:
    assert trusting(ComposeWords(words, config_dir, "config"), targets).overrides == expected
    assert trusting(ComposeWords((), None, "other"), ()).overrides == ("allow_targets=[]",)


@pytest.mark.parametrize("value", ["\\", "a\\", "\\'", "\\\\'\\", "'", "a\\b 'c'", "\n", ""])
def test_backslashes_and_quotes_come_back(value: str) -> None:
    assert parsed_value("key", typed(value)) == value
    assert parsed_value("key", typed([value, value])) == [value, value]


@pytest.mark.parametrize(
    ("word", "key"),
    [("lr=1", "lr"), ("++a.b=1", "a.b"), ("~model", "model"), ("x@y=z", "x"), ("a=b=c", "a"), ("", "")],
)
def test_the_key_of_a_word(word: str, key: str) -> None:
    assert key_of(word) == key


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**12), 10**12) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text("abzAZ09 _./-:,'\"[]{}=äß\\", max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b_c"]), inner, max_size=2),
    max_leaves=5,
)  # fmt: skip


@given(VALUES)
def test_a_typed_value_is_read_back_equal(value: Any) -> None:
    found = parsed_value("key", typed(value))
    assert found == value
    assert type(found) is type(value)
