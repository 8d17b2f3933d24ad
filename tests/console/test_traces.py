from hypothesis import given
from hypothesis import strategies as st

from hpo_cli.console.traces import Trace

VALUES = st.lists(st.floats(-1e6, 1e6) | st.none(), max_size=300)


def grown(values: list[float | None]) -> Trace:
    trace = Trace()
    for step, value in enumerate(values):
        trace.append(step, value)
    return trace


@given(VALUES)
def test_the_picture_has_the_same_extremes_and_ends(values: list[float | None]) -> None:
    trace = grown(values)
    known = [value for value in values if value is not None]
    shown = [y for y in trace.ys if y is not None]
    assert (min(shown, default=None), max(shown, default=None)) == (min(known, default=None), max(known, default=None))
    assert trace.xs == sorted(trace.xs)
    assert (trace.length, trace.last) == (len(values), values[-1] if values else None)
    assert set(trace.points()) <= set(enumerate(values))


def test_a_million_rows_are_drawn_from_some_thousand_points_with_every_spike() -> None:
    trace = Trace()
    for step in range(200_000):
        trace.append(step, 1e3 if step == 123_457 else 1.0 + step % 7)
    assert len(trace.points()) < 10_000
    assert (123_457, 1e3) in trace.points()


def test_few_rows_are_drawn_as_they_are() -> None:
    assert grown([3.0, None, 1.0]).points() == [(0, 3.0), (1, None), (2, 1.0)]
