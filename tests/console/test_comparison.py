"""Runs beside each other in any width."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hpo_cli.console.comparison import comparison
from hpo_cli.console.output import Span

METRICS = ["val/loss", "val/species_accuracy", "val/petal_length_mae", "val/petal_length_r2", "val/petal_width_mae"]
RUNS = ["best-00000040.pt", "best-00000080.pt", "best-00000120.pt", "best-00000160.pt", "average of 4"]


def figure(run: int, metric: int) -> str:
    return f"{run}.{metric:03}"


def lines(names: list[str], runs: list[str], *, width: int, indent: str = "") -> list[str]:
    rows = [[Span(run), *(Span(figure(i, k)) for k in range(len(names)))] for i, run in enumerate(runs)]
    found = comparison("run", names, rows, width=width, indent=indent)
    return ["".join(span.text for span in one).rstrip() for one in found]


def test_few_metrics_are_columns() -> None:
    assert lines(METRICS[:2], RUNS[:2], width=80) == [
        "run               val/loss  val/species_accuracy",
        "best-00000040.pt     0.000                 0.001",
        "best-00000080.pt     1.000                 1.001",
    ]


def test_many_metrics_are_rows() -> None:
    assert lines(METRICS, RUNS[:2], width=80, indent="  ") == [
        "  metric                best-00000040.pt  best-00000080.pt",
        "  val/loss                         0.000             1.000",
        "  val/species_accuracy             0.001             1.001",
        "  val/petal_length_mae             0.002             1.002",
        "  val/petal_length_r2              0.003             1.003",
        "  val/petal_width_mae              0.004             1.004",
    ]


def test_many_runs_go_below_each_other() -> None:
    found = lines(METRICS, RUNS, width=80)
    heads = [text for text in found if text.startswith("metric")]
    assert [name for text in heads for name in text.split("  ") if name.strip()][1:4] == RUNS[:3]
    assert len(found) == 2 * (1 + len(METRICS))


@given(
    names=st.lists(st.text("abcdef/", min_size=1, max_size=60), min_size=1, max_size=6, unique=True),
    runs=st.lists(st.text("xyz", min_size=1, max_size=40), min_size=1, max_size=6),
    width=st.integers(60, 120),
    indent=st.sampled_from(["", "  "]),
)
def test_runs_are_never_cut_and_no_line_is_too_long(names: list[str], runs: list[str], width: int, indent: str) -> None:
    found = lines(names, runs, width=width, indent=indent)
    assert max(map(len, found)) <= width
    words = " ".join(found).split()
    for run in runs:
        assert words.count(run) >= runs.count(run)
    assert {figure(i, k) for i in range(len(runs)) for k in range(len(names))} <= set(words)
