"""What a dry run tells: which trials there will be, and what they would cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from hpo_cli.errors import ConfigError
from hpo_cli.grammar import sweep_settings
from hpo_cli.plan import plan_id
from hpo_cli.sweep import preview
from hpo_cli.sweep.preview import Preview, epochs_of, preview_of, timed
from hpo_cli.sweep.search.contract import Aim
from hpo_cli.sweep.search.make import make_search
from hpo_cli.sweep.settings import decide
from hpo_cli.sweep.space import Dimension, Space

LISTS = Space((Dimension("lr", ("lr",), choices=(1, 2, 3)), Dimension("e", ("epochs",), choices=(1, 2))))
RANGE = Space((Dimension("lr", ("lr",), low=0.1, high=1.0),))


def previewed(space: Space, *words: str, refuses: float | None = None) -> Preview:
    settings = decide(sweep_settings(words), space)

    def make(setting: Mapping[str, Any]) -> Any:
        if setting["lr"] == refuses:
            raise ConfigError("lr", refuses, rule="is refused")
        return SimpleNamespace(plan=SimpleNamespace(plan_id=plan_id(dict(setting))))

    asked: Any = SimpleNamespace(settings=settings, inner=({},))
    return preview_of(asked, make_search(settings, space, [Aim("val/accuracy", "max")]), make)


@pytest.mark.parametrize(
    ("space", "words", "is_exact", "count", "total"),
    [
        (LISTS, (), True, 6, 6), (LISTS, ("sweep.trials=2",), True, 2, 2), (RANGE, (), True, 8, 20),
        (RANGE, ("sweep=qmc",), True, 8, 20), (RANGE, ("sweep=sensitivity",), True, 5, 5),
        (RANGE, ("sweep=tpe",), False, 8, 20), (RANGE, ("sweep=zoom",), False, 8, 20),
        (RANGE, ("sweep=asha",), False, 8, 60), (LISTS, ("sweep=random",), True, 6, 6),
    ],
)  # fmt: skip
def test_trials_that_depend_on_no_result_are_exact(
    space: Space, words: Sequence[str], is_exact: bool, count: int, total: int
) -> None:
    found = previewed(space, *words)
    assert (found.is_exact, len(found.settings), found.total) == (is_exact, count, total)


def test_refused_settings_are_told_and_are_no_trials() -> None:
    found = previewed(LISTS, refuses=2)
    assert [setting["lr"] for setting in found.settings] == [1, 1, 3, 3]
    assert [setting["lr"] for setting, _ in found.refused] == [2, 2]
    assert found.total == 4


def test_epochs_by_the_tables_of_the_schedulers() -> None:
    """Asha with eta 3 of 9 epochs: 1 + 2/3 + 6/9. Hyperband of R=9: 9+3+1 of 9, 5 of 3 and 1 of 9, 3 of 9."""
    asha = sweep_settings(["sweep=asha", "sweep.eta=3", "sweep.min_epochs=1"])
    assert epochs_of(asha, 9) == pytest.approx(1 + 2 / 3 + 6 / 9)
    hyperband = sweep_settings(["sweep=hyperband", "sweep.eta=3", "sweep.min_epochs=1"])
    assert epochs_of(hyperband, 9) == pytest.approx(((9 + 3 * 2 + 6) + (5 * 3 + 6) + 3 * 9) / (9 + 5 + 3))
    assert epochs_of(sweep_settings([]), 9) == 9
    assert epochs_of(replace(sweep_settings([]), scheduler="median"), 9) is None


@pytest.mark.parametrize(("epoch_s", "start_s"), [(0.05, 0.4), (0.5, 0.1), (20.0, 1.0)])
def test_a_run_costs_its_epochs_and_what_it_takes_once(
    epoch_s: float, start_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine on which a step takes the same whatever happens: the estimate is what a run takes there."""
    clock = [0.0]

    def seconds(*_: object, steps: int | None = None, epochs: int | None = None) -> float:
        took = start_s + epoch_s * (epochs if steps is None else steps / 100)  # type: ignore[operator]
        clock[0] += took
        return took

    monkeypatch.setattr(preview, "_seconds", seconds)
    monkeypatch.setattr(preview, "_samples", lambda *_: preview._Samples(3200, 320))
    monkeypatch.setattr(preview.time, "monotonic", lambda: clock[0])
    plan = SimpleNamespace(
        epochs=30, batch_size=32, batch=SimpleNamespace(accumulate=1), trainer=SimpleNamespace(max_steps=None)
    )
    cost = timed(SimpleNamespace(plan=plan), None)  # type: ignore[arg-type]
    assert cost.run_s == pytest.approx(start_s + 30 * epoch_s, rel=0.05)
    assert clock[0] < 20, "and it does not take long"
