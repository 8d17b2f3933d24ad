"""A mirror of the sweep in a storage of Optuna, for optuna-dashboard and everything else that reads one.

Nothing is ever read back from it: the sweep's own log is the truth. It is written by a thread of its own, so that the
sweep neither waits for it nor fails because of it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hpo_cli.sweep.fold import SweepState
from hpo_cli.sweep.space import Space
from hpo_cli.sweep.state import Event, Trial, Values

if TYPE_CHECKING:
    from hpo_cli.sweep.mirror import Mirror

JOURNAL = "optuna.journal"
NONE = "none"
"""The value of `sweep.storage` that asks for no mirror."""
LIVE_S = 2.0
"""How often the newest reports of running trials are written."""
_CLOSE_S = 10.0


@dataclass(frozen=True)
class Row:
    """A trial as it stood when it was looked at. runs: the folders of its runs."""

    number: int
    setting: Mapping[str, Any]
    status: str
    reports: Mapping[int, Values]
    values: Values | None
    runs: tuple[str, ...]
    reason: str
    seconds: float
    space: Space
    is_alone: bool = True
    """Whether no other process drives the sweep, which might be writing the same trial."""


class Storage:
    """Mirrors a sweep's trials while they run, as `sweep.storage` says.

    Null is a journal in the sweep's folder; `none` no mirror; else any URL of SQLAlchemy (sqlite:///file.db,
    postgresql://...), redis://..., or grpc://host:port of a server that `optuna.storages.run_grpc_proxy_server` runs.
    The study is called as the sweep, `<name>-<id>`, and holds each trial once, however often the sweep is resumed and
    however many machines drive it. say: hears one line, once, when the mirror cannot be written any more.
    """

    def __init__(self, state: SweepState, *, say: Callable[[str], None] | None = None) -> None:
        self.state = state
        self.url = state.settings.storage
        self.failure: str | None = None
        """Why nothing is mirrored any more."""
        self._say = say
        self._waiting: dict[int, Row] = {}
        self._changed = threading.Condition()
        self._is_closing = False
        self._thread: threading.Thread | None = None

    @property
    def study_name(self) -> str:
        """What the study is called."""
        return f"{self.state.name}-{self.state.id}"

    def heard(self, events: Sequence[Event], state: SweepState) -> None:
        """Events that this process wrote. Returns at once; what is not written yet gives way to what is newer."""
        if self.url == NONE or self.failure is not None or self._is_closing:
            return
        numbers = dict.fromkeys(event["trial"] for event in events if "trial" in event)
        trials = [state.trial(number) for number in numbers]
        if self._thread is None:  # what an earlier session did not come to write
            trials = [*(trial for trial in state.trials if trial.status not in ("waiting", "running")), *trials]
        self._put([trial for trial in trials if any(run.attempts for run in trial.runs)])

    def close(self) -> None:
        """Write what is left, for some seconds at most."""
        with self._changed:
            self._is_closing = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join(_CLOSE_S)

    def _put(self, trials: Sequence[Trial]) -> None:
        with self._changed:
            self._waiting.update({trial.number: self._row(trial) for trial in trials})
            if self._thread is None and self._waiting:
                self._thread = threading.Thread(target=self._write_all, name="storage", daemon=True)
                self._thread.start()
            self._changed.notify()

    def _row(self, trial: Trial) -> Row:
        return Row(
            number=trial.number,
            setting=trial.setting,
            status=trial.status,
            reports=dict(trial.live),
            values=trial.values,
            runs=tuple(run.folder for run in trial.runs),
            reason=trial.why,
            seconds=trial.seconds,
            space=self.state.space,
            is_alone=len(self.state.joined) <= 1,
        )

    def _write_all(self) -> None:
        try:
            from hpo_cli.sweep.mirror import Mirror

            mirror = Mirror.opened(self.url, self.state.folder, self.state.aims, self.study_name)
            self._follow(mirror)
        except Exception as error:  # noqa: BLE001 -- whatever a database says, the sweep goes on
            self.failure = f"sweep.storage={self.url or JOURNAL}: {_first_line(error)}; the sweep goes on without it"
            if self._say is not None:
                self._say(self.failure)

    def _follow(self, mirror: Mirror) -> None:
        while True:
            with self._changed:
                if not self._waiting and not self._is_closing:
                    self._changed.wait(LIVE_S)
                rows = [self._waiting[number] for number in sorted(self._waiting)]
                self._waiting = {}
                if not rows and self._is_closing:
                    return
            for row in rows or self._live():
                mirror.write(row)

    def _live(self) -> list[Row]:
        """Running trials with what they have reported so far; reports are replaced, never changed, by the driver."""
        numbers = sorted({number for number, _ in tuple(self.state.running)})
        rows = [self._row(self.state.trial(number)) for number in numbers]
        return [row for row in rows if row.reports and row.status == "running"]


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0][:300]
