"""A run while it trains: a live line in a terminal, one plain line an epoch in a pipe, and how it ended."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from hpo_cli.console.figures import duration
from hpo_cli.console.output import Line, Span, console, is_terminal, line, write

if TYPE_CHECKING:
    from hpo_cli.engine.progress import Horizon, Outcome, Position
    from hpo_cli.plan import RunPlan


_RUN_AWAY = 1e6
_WIDE = 110  # columns from which there is room for a bar


class TrainingReporter(Protocol):
    """An engine Reporter that ends."""

    def started(self, horizon: Horizon, position: Position) -> None:
        """See engine.progress.Reporter."""

    def changed(self, horizon: Horizon) -> None:
        """See engine.progress.Reporter."""

    def noted(self, text: str) -> None:
        """See engine.progress.Reporter."""

    def advanced(self, position: Position) -> None:
        """See engine.progress.Reporter."""

    def measured(self, row: Mapping[str, Any]) -> None:
        """See engine.progress.Reporter."""

    def close(self) -> None:
        """Leave the screen to what comes next, until training moves on."""


@contextmanager
def training_reporter(plan: RunPlan) -> Iterator[TrainingReporter]:
    """The reporter for where standard output goes."""
    reporter: TrainingReporter = LiveReporter(plan) if is_terminal() else PlainReporter(plan)
    try:
        yield reporter
    finally:
        reporter.close()


class PlainReporter:
    """One line an epoch."""

    def __init__(self, plan: RunPlan) -> None:
        self._plan = plan
        self._speed = _Speed()

    def started(self, horizon: Horizon, position: Position) -> None:
        """See Reporter."""
        self._horizon = horizon
        self._speed.begin(position.step)

    def changed(self, horizon: Horizon) -> None:
        """See Reporter."""
        self._horizon = horizon

    def noted(self, text: str) -> None:
        """See Reporter."""
        _say([line(Span("· ", "yellow"), text)])

    def advanced(self, position: Position) -> None:
        """See Reporter."""

    def measured(self, row: Mapping[str, Any]) -> None:
        """See Reporter."""
        if not any(name.startswith("val/") for name in row):
            return
        width = len(str(self._horizon.epochs))
        rate = self._speed.steps_per_second(row["step"])
        head = f"epoch {row['epoch']:{width}}/{self._horizon.epochs}"
        samples = rate * self._horizon.num_samples / self._horizon.steps_per_epoch
        _say([line(f"{head}  {_metrics(row)}  {_count(samples)} samples/s")])

    def close(self) -> None:
        """See TrainingReporter."""


class LiveReporter:
    """One line that moves: epoch, bar, losses, metric, samples/s, time left."""

    def __init__(self, plan: RunPlan) -> None:
        from rich.live import Live
        from rich.text import Text

        self._plan, self._speed = plan, _Speed()
        self._latest: dict[str, Any] = {}
        self._console = console()
        self._live = Live(Text(""), console=self._console, auto_refresh=False, transient=True)
        self._show("loading torch and Lightning ...")

    def started(self, horizon: Horizon, position: Position) -> None:
        """See Reporter."""
        self._horizon = horizon
        self._speed.begin(position.step)

    def changed(self, horizon: Horizon) -> None:
        """See Reporter."""
        self._horizon = horizon

    def noted(self, text: str) -> None:
        """See Reporter."""
        self._live.stop()
        _say([line(Span("· ", "yellow"), text)])

    def advanced(self, position: Position) -> None:
        """See Reporter."""
        done, horizon = position.step, self._horizon
        rate = self._speed.steps_per_second(done)
        left = (horizon.total_steps - done) / rate if rate else 0.0
        samples = rate * horizon.num_samples / horizon.steps_per_epoch
        shown = min(position.epoch + 1, horizon.epochs)
        bar = f" {_bar(done / horizon.total_steps)}" if self._console.width >= _WIDE else ""
        head = f"epoch {shown}/{horizon.epochs}{bar}"
        tail = f"{_count(samples)} samples/s  {duration(left)} left"
        self._show("  ".join(part for part in (head, _metrics(self._latest), tail) if part))

    def measured(self, row: Mapping[str, Any]) -> None:
        """See Reporter."""
        self._latest.update(row)

    def close(self) -> None:
        """See TrainingReporter."""
        self._live.stop()

    def _show(self, text: str) -> None:
        from rich.text import Text

        self._live.start()
        self._live.update(Text(text, no_wrap=True, overflow="ellipsis"), refresh=True)


class _Speed:
    """Mean steps a second since training began, went on or went back."""

    def begin(self, steps: int) -> None:
        self._since, self._from = time.monotonic(), steps

    def steps_per_second(self, steps: int) -> float:
        if steps < self._from:  # a rollback
            self.begin(steps)
        return (steps - self._from) / max(1e-9, time.monotonic() - self._since)


def announce(plan: RunPlan, folder: Path, summary: Mapping[str, int], *, started_from: str = "") -> None:
    """Say what begins and where it goes."""
    parameters = f"{summary['parameters']:,} parameters"
    if summary["frozen"]:
        parameters += f" ({summary['frozen']:,} frozen)"
    sizes = f"{parameters}, {summary['train']:,} training and {summary['val']:,} validation samples"
    said = {"run": str(folder), "what": _chosen(plan), "size": sizes, "from": started_from}
    _say([line(Span(f"{label:6}", "dim"), text) for label, text in said.items() if text])


_ALWAYS_SAID = ("model", "data", "optimizer", "schedule")
_USUAL = {"loss": ("cross_entropy", "bce", "mse", "multi_task"), "init": ("default",), "augment": ("none",)}


def _chosen(plan: RunPlan) -> str:
    """The options that make this run, and the names inside those that stand for many."""
    groups = [*_ALWAYS_SAID, *(group for group, usual in _USUAL.items() if plan.choices[group] not in usual)]
    components = {"model": plan.model, "schedule": plan.schedule}
    names = []
    for group in groups:
        inner = components[group].args.get("name") if group in components else None
        names.append(plan.choices[group] + (f" {inner}" if inner else ""))
    return ", ".join([*names, f"batch {plan.batch_size}"])


def conclude(plan: RunPlan, folder: Path, outcome: Outcome, *, stopped: str = "") -> None:
    """Say how it ended, where it is, and what to type next. stopped: why it ended before its last epoch."""
    reference = run_reference(plan, folder)
    following = f"hpo-run show {reference}" if outcome.status == "finished" else f"hpo-run resume={reference}"
    how = f"{_counted(outcome.epoch, 'epoch')}, {_counted(outcome.step, 'step')}, {duration(outcome.seconds)}"
    best = outcome.best.get(plan.objective.name)
    if stopped:
        _say([line(Span("stopped ", "yellow"), f"{stopped}, at step {outcome.step}; its state is saved")])
    if best:
        value = Span(f"{plan.objective.name} {best.value:.4f}", "bold green")
        _say([line(Span("best  ", "dim"), value, f" at step {best.step}  ({how})")])
    else:
        _say([line(Span("done  ", "dim"), how)])
    _say(
        [
            line(Span("run   ", "dim"), str(folder)),
            line(Span("next  ", "dim"), following),
        ]
    )
    sys.stdout.flush()


def _say(lines: list[Line]) -> None:
    """Print; when the reader has gone (`| head`), train on without a word."""
    with contextlib.suppress(SystemExit):
        write(lines)


def run_reference(plan: RunPlan, folder: Path) -> str:
    """How the reading verbs find the run: by its id where they look by default, else by its path."""
    where_they_look = Path("outputs")
    return folder.name if plan.outputs == "outputs" and where_they_look in folder.parents else str(folder)


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what}" + ("" if count == 1 else "s")


_UNSAID = ("train/accuracy", "train/grad_norm", "train/update_ratio")


def _metrics(row: Mapping[str, Any]) -> str:
    shown = [name for name in row if name.startswith(("train/", "val/")) and name not in _UNSAID]
    return "  ".join(f"{name} {_fixed(row[name])}" for name in shown)


def _fixed(value: float) -> str:
    """Four decimals, which stay in place from epoch to epoch; powers of ten for what has run away."""
    return f"{value:.4f}" if abs(value) < _RUN_AWAY else f"{value:.3e}"


def _bar(share: float, width: int = 12) -> str:
    full = round(share * width)
    return "━" * full + "╌" * (width - full)


def _count(value: float) -> str:
    for unit, size in (("M", 1e6), ("k", 1e3)):
        if value >= size:
            return f"{value / size:.1f}{unit}"
    return f"{value:.0f}"
