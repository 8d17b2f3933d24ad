"""Closed forms, bounds, the warm-up and what is refused; equality with torch is in test_schedules_oracles.py."""

from __future__ import annotations

import doctest
import functools
import importlib
import math
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hpo_cli.components import schedules
from hpo_cli.components.schedules import (
    Factors,
    Place,
    Plateau,
    bind_schedule,
    constant,
    cosine,
    cyclical,
    exponential,
    inverse_time,
    linear,
    one_cycle,
    polynomial,
    step,
    warm_restarts,
    wsd,
)
from hpo_cli.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

SHARE = st.floats(0.0, 1.0)
OPEN = st.floats(0.01, 0.99)
POSITIVE = st.floats(1e-6, 1.0)


def keyed(function: Callable[..., Any], **keys: st.SearchStrategy[Any]) -> st.SearchStrategy[Callable[[float], Any]]:
    """The function with keys drawn from these."""
    return st.fixed_dictionaries(keys).map(lambda drawn: functools.partial(function, **drawn))


FALLING = st.one_of(
    st.just(constant),
    keyed(step, at=st.lists(OPEN, max_size=4, unique=True).map(sorted), factor=st.floats(0.01, 1.0)),
    keyed(linear, rate=st.floats(0.1, 10.0), floor=SHARE),
    keyed(inverse_time, rate=st.floats(0.0, 100.0), every=OPEN, stairs=st.booleans()),
    keyed(exponential, final=POSITIVE, every=OPEN, stairs=st.booleans()),
    keyed(exponential, final=st.none(), rate=POSITIVE, every=OPEN, stairs=st.booleans()),
    keyed(cosine, floor=SHARE),
    keyed(polynomial, power=st.floats(0.1, 5.0), floor=SHARE),
    keyed(wsd, decay_share=OPEN, shape=st.sampled_from(["linear", "cosine", "sqrt", "exponential"]), floor=POSITIVE),
)
RISING = st.one_of(
    keyed(
        cyclical, cycles=st.integers(1, 50), floor=SHARE, rise=OPEN, final=POSITIVE,
        mode=st.sampled_from(["triangular", "triangular2", "exp_range"]),
    ),
    keyed(warm_restarts, cycles=st.integers(1, 500), multiplier=st.floats(1.0, 10.0), floor=SHARE),
    keyed(
        one_cycle, rise=st.floats(0.01, 0.5), div=st.floats(1.0, 100.0), final=SHARE, dip=OPEN,
        anneal=st.sampled_from(["cos", "linear"]), phases=st.sampled_from([2, 3]),
    ),
)  # fmt: skip
ROOT = math.sqrt(2)


@pytest.mark.parametrize(
    ("schedule", "values"),
    [
        (constant, [1.0, 1.0, 1.0, 1.0, 1.0]),
        (step, [1.0, 1.0, 0.1, 0.01, 0.01]),
        (functools.partial(step, at=[0.25, 0.75], factor=0.5), [1.0, 0.5, 0.5, 0.25, 0.25]),
        (functools.partial(step, at=[]), [1.0, 1.0, 1.0, 1.0, 1.0]),
        (linear, [1.0, 0.75, 0.5, 0.25, 0.0]),
        (functools.partial(linear, rate=2.0, floor=0.2), [1.0, 0.6, 0.2, 0.2, 0.2]),
        (functools.partial(linear, rate=0.5), [1.0, 0.875, 0.75, 0.625, 0.5]),
        (functools.partial(inverse_time, rate=3.0, every=0.75), [1.0, 1 / 2, 1 / 3, 1 / 4, 1 / 5]),
        (functools.partial(inverse_time, rate=3.0, every=0.5, stairs=True), [1.0, 1.0, 1 / 4, 1 / 4, 1 / 7]),
        (exponential, [1.0, 10**-0.5, 0.1, 10**-1.5, 0.01]),
        (functools.partial(exponential, final=0.01, every=0.5, stairs=True), [1.0, 1.0, 0.1, 0.1, 0.01]),
        (functools.partial(exponential, final=None, rate=0.5, every=0.25), [1.0, 0.5, 0.25, 0.125, 0.0625]),
        (functools.partial(exponential, final=None, rate=0.5, every=0.5, stairs=True), [1.0, 1.0, 0.5, 0.5, 0.25]),
        (functools.partial(cyclical, cycles=2), [0.25, 1.0, 0.25, 1.0, 0.25]),
        (functools.partial(cyclical, cycles=2, mode="triangular2", floor=0.2), [0.2, 1.0, 0.2, 0.6, 0.2]),
        (
            functools.partial(cyclical, cycles=2, mode="exp_range", floor=0.0, final=0.0001),
            [0.0, 0.1, 0.0, 0.001, 0.0],
        ),
        (functools.partial(cyclical, cycles=1, floor=0.0, rise=0.25), [0.0, 1.0, 2 / 3, 1 / 3, 0.0]),
        (cosine, [1.0, (2 + ROOT) / 4, 0.5, (2 - ROOT) / 4, 0.0]),
        (functools.partial(cosine, floor=0.2), [1.0, 0.6 + 0.2 * ROOT, 0.6, 0.6 - 0.2 * ROOT, 0.2]),
        (functools.partial(warm_restarts, cycles=2, multiplier=1.0), [1.0, 0.5, 1.0, 0.5, 0.0]),
        (functools.partial(warm_restarts, cycles=2, multiplier=3.0), [1.0, 1.0, 0.75, 0.25, 0.0]),
        (functools.partial(polynomial, power=2.0), [1.0, 0.5625, 0.25, 0.0625, 0.0]),
        (functools.partial(polynomial, power=1.0, floor=0.2), [1.0, 0.8, 0.6, 0.4, 0.2]),
        (functools.partial(wsd, decay_share=0.5), [1.0, 1.0, 1.0, 0.5, 0.0]),
        (functools.partial(wsd, decay_share=1.0, shape="sqrt"), [1.0, 0.5, 1 - ROOT / 2, 1 - math.sqrt(0.75), 0.0]),
        (functools.partial(wsd, decay_share=0.5, shape="cosine", floor=0.2), [1.0, 1.0, 1.0, 0.6, 0.2]),
        (functools.partial(wsd, decay_share=0.5, shape="exponential", floor=0.01), [1.0, 1.0, 1.0, 0.1, 0.01]),
    ],
)  # fmt: skip
def test_closed_forms_at_quarters(schedule: Callable[[float], float], values: list[float]) -> None:
    assert [schedule(quarter / 4) for quarter in range(5)] == pytest.approx(values, abs=1e-12)


def test_one_cycle_at_the_ends_of_its_phases() -> None:
    three = functools.partial(one_cycle, rise=0.25, div=10.0, final=0.001, dip=0.8, anneal="linear", phases=3)
    found = [three(eighth / 8) for eighth in range(9)]
    rates = [0.1, 0.55, 1.0, 0.55, 0.1, 0.07525, 0.0505, 0.02575, 0.001]
    assert [factors.lr for factors in found] == pytest.approx(rates)
    assert [factors.momentum for factors in found] == pytest.approx([1.0, 0.9, 0.8, 0.9, 1.0, 1.0, 1.0, 1.0, 1.0])
    assert one_cycle(0.65) == Factors(pytest.approx((1 + 4e-6) / 2), pytest.approx((1 + 0.894737) / 2))  # type: ignore[arg-type]


@given(FALLING, SHARE, SHARE)
def test_falls_from_one_within_bounds(schedule: Callable[[float], float], a: float, b: float) -> None:
    early, late = schedule(min(a, b)), schedule(max(a, b))
    assert schedule(0.0) == 1.0
    assert 0.0 <= late <= early + 1e-12
    assert early <= 1.0


@given(RISING, SHARE)
@example(functools.partial(warm_restarts, cycles=10_000, multiplier=1e6), 0.5)
@example(functools.partial(cyclical, cycles=10_000, mode="triangular2"), 1.0)
def test_stays_within_bounds(schedule: Callable[[float], float | Factors], progress: float) -> None:
    for place in (0.0, progress, 1.0):
        found = schedule(place)
        lr, momentum = (found.lr, found.momentum) if isinstance(found, Factors) else (found, 1.0)
        assert 0.0 <= lr <= 1.0
        assert 0.0 < momentum <= 1.0


@given(st.integers(1, 400), st.integers(1, 20), st.sampled_from([1.0, 2.0, 3.0]))
def test_the_highest_rate_is_reached_again_at_every_restart(unit: int, cycles: int, multiplier: float) -> None:
    cycles = min(cycles, 6) if multiplier > 1 else cycles
    lengths = [unit * int(multiplier) ** index for index in range(cycles)]
    total = sum(lengths)
    restarts = [sum(lengths[:index]) for index in range(cycles)]
    assert [warm_restarts(at / total, cycles=cycles, multiplier=multiplier) for at in restarts] == pytest.approx(
        [1.0] * cycles
    )


@given(st.integers(1, 2000), st.integers(1, 40))
def test_a_stair_begins_at_the_step_that_reaches_it(per_stair: int, num_stairs: int) -> None:
    total = per_stair * num_stairs
    fall = functools.partial(exponential, final=None, rate=0.5, every=1 / num_stairs, stairs=True)
    for stair in range(num_stairs):
        assert fall(stair * per_stair / total) == fall(((stair + 1) * per_stair - 1) / total) == 0.5**stair


@given(st.one_of(FALLING, RISING), st.integers(1, 200), st.data())
def test_warm_up_rises_to_where_the_schedule_starts(
    function: Callable[..., Any], total: int, data: st.DataObject
) -> None:
    warmup = data.draw(st.integers(0, total))
    schedule = bind_schedule(function, {})
    found = [schedule.factors(i, total_steps=total, warmup_steps=warmup) for i in range(total + 1)]
    first = schedule.factors(0, total_steps=total)
    share = [factors.lr for factors in found[: warmup + 1]]
    assert share == pytest.approx([first.lr * (i + 1) / (warmup + 1) for i in range(warmup)] + [first.lr])
    assert all(factors.momentum == first.momentum for factors in found[:warmup])
    alone = [schedule.factors(i, total_steps=total - warmup) for i in range(total - warmup + 1)]
    assert found[warmup:] == alone or warmup == total


def test_a_step_takes_effect_where_its_fraction_is_reached() -> None:
    factors = [bind_schedule(step, {}).factors(i, total_steps=8).lr for i in range(8)]
    assert factors == pytest.approx([1.0] * 4 + [0.1] * 2 + [0.01] * 2)


@pytest.mark.parametrize(
    ("target", "keys", "line"),
    [
        (step, {"at": [0.8, 0.5]}, "at=[0.8,0.5]: must rise from each fraction to the next; set schedule.at=[0.5,0.8]"),
        (step, {"at": [0.5, 0.5]}, "at=[0.5,0.5]: must rise from each fraction to the next; set schedule.at=[0.5]"),
        (exponential, {"rate": 0.9}, "rate=0.9: says the same as final; set schedule.final=null too"),
        (exponential, {"final": None}, "final=null: is missing, and rate as well; set schedule.final=0.01"),
        (wsd, {"shape": "exponential"}, "floor=0.0: must be above 0 for shape=exponential; set schedule.floor=0.1"),
        (wsd, {"shape": "sqr"}, "shape=sqr: must be one of exponential, linear, cosine, sqrt; did you mean sqrt?"),
        (
            cyclical, {"mode": "triangle"},
            "mode=triangle: must be one of triangular, triangular2, exp_range; did you mean triangular?",
        ),
        (
            one_cycle, {"phases": 3, "rise": 0.6},
            "rise=0.6: leaves no room for three phases; set schedule.rise=0.45 or schedule.phases=2",
        ),
        (Plateau, {"threshold_mode": "relative"}, "threshold_mode=relative: must be one of rel, abs"),
    ],
)  # fmt: skip
def test_bad_keys_are_refused_when_it_is_bound(target: Callable[..., Any], keys: dict[str, Any], line: str) -> None:
    with pytest.raises(ConfigError) as caught:
        bind_schedule(target, keys)
    assert "\n" not in str(caught.value)
    assert str(caught.value) == f"schedule.{line}"


def test_a_key_that_the_function_does_not_have_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"cosine: cannot be built: TypeError .* unexpected keyword argument 'flor'"):
        bind_schedule(cosine, {"flor": 1})


@pytest.mark.parametrize(
    ("target", "words"),
    [
        (lambda _: "1", "gave '1' at the start"),
        (lambda _: math.nan, "gave nan"),
        (lambda _: Factors(1.0, math.inf), "momentum=inf"),
        (lambda _: None, "gave None"),
        (lambda: 1.0, "cannot be built: TypeError"),
        (lambda _: 1 / 0, "cannot be built: ZeroDivisionError"),
        (Factors, "cannot be built: TypeError"),
        (Place, "cannot be built: TypeError"),
        (schedules.Schedule, "cannot be built: TypeError"),
    ],
)
def test_what_is_no_schedule_is_refused(target: Callable[..., Any], words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        bind_schedule(target, {})
    assert words in str(caught.value)
    assert "docs/your-own.md" in str(caught.value)


def test_a_schedule_that_asks_for_its_place_is_told_it_counted_after_the_warm_up() -> None:
    seen: list[Place] = []

    def mine(progress: float, *, place: Place) -> float:
        seen.append(place)
        return progress

    schedule = bind_schedule(mine, {})
    assert schedule.wants_place
    del seen[:]
    found = [schedule.factors(i, total_steps=12, warmup_steps=2, steps_per_epoch=5).lr for i in (0, 1, 2, 7, 12)]
    assert seen == [Place(step, 10, 5) for step in (0, 0, 0, 5, 10)]
    assert found == [0.0, 0.0, 0.0, 0.5, 1.0]


def test_only_a_schedule_that_gives_factors_moves_the_momentum() -> None:
    assert bind_schedule(one_cycle, {}).moves_momentum
    assert not bind_schedule(cosine, {}).moves_momentum
    assert not bind_schedule(Plateau, {}).moves_momentum


def test_the_same_curve_is_stretched_over_a_longer_run() -> None:
    for target in (cosine, one_cycle, cyclical, warm_restarts, wsd):
        schedule = bind_schedule(target, {})
        short = [schedule.factors(i, total_steps=40) for i in range(41)]
        assert [schedule.factors(3 * i, total_steps=120) for i in range(41)] == short
        assert [schedule.factors(i, total_steps=41) for i in range(41)] != short


def test_a_step_past_the_end_is_as_the_end() -> None:
    schedule = bind_schedule(cosine, {})
    assert schedule.factors(50, total_steps=40) == schedule.factors(40, total_steps=40) == Factors(0.0)


MODULES = ("bind", "cycles", "factors", "falling", "from_torch", "plateau")


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_in_docstrings_are_right(name: str) -> None:
    result = doctest.testmod(importlib.import_module(f"{schedules.__name__}.{name}"))
    assert result.attempted >= 1
    assert result.failed == 0


def test_needs_no_torch() -> None:
    code = f"import sys, {schedules.__name__}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    seen = subprocess.run([sys.executable, "-c", "import sys, torch; " + code], check=False)
    assert seen.returncode == 1
