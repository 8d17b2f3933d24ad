"""A sweep driven by this process: its folder begun or found, its tools put together, its end told."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from hpo_cli.errors import ConfigError, RunFailedError, UserError
from hpo_cli.record.process import this_process
from hpo_cli.steer.commands import send
from hpo_cli.sweep.asked import check_sweep
from hpo_cli.sweep.begin import CONF, new_folder, open_sweep, read_anew
from hpo_cli.sweep.edits import EDITABLE
from hpo_cli.sweep.facts import read_facts
from hpo_cli.sweep.interrupts import Interrupts
from hpo_cli.sweep.settings import trials_anew
from hpo_cli.verbs.composing import ComposeWords

if TYPE_CHECKING:
    from hpo_cli.composer import Composer, Made
    from hpo_cli.plan import RunPlan
    from hpo_cli.sweep.asked import Asked
    from hpo_cli.sweep.drive import Driver
    from hpo_cli.sweep.executors.contract import Executor, Job
    from hpo_cli.sweep.fold import SweepState
    from hpo_cli.sweep.log import FolderLog


@dataclass(frozen=True)
class Opened:
    """A sweep's folder, open. composer: makes plans of the option files that are frozen in it."""

    state: SweepState
    log: FolderLog
    composer: Composer

    @property
    def plan(self) -> RunPlan:
        """The plan of its first trial, or of its base."""
        state = self.state
        first = state.trials[0].setting if state.trials else state.began["first"]
        return self.composer.made({**first, **state.inner[0]}).plan


def begin(asked: Asked, words: ComposeWords) -> Opened:
    """A new sweep's folder, or the one of another process that began the same at the same time."""
    from hpo_cli.composer import freeze

    def write(folder: Path) -> Mapping[str, Any]:
        freeze(asked.config_dir, folder / CONF)
        return {**asked.to_json(), "command": _command(words), "cwd": str(Path.cwd())}

    folder = new_folder(asked.plan.outputs, asked.plan.name, at=asked.settings.dir)
    return _opened(*open_sweep(folder, write))


def open_again(folder: Path) -> Opened:
    """A sweep that was begun before, by this process or another. Raises UserError."""
    return _opened(*open_sweep(folder))


def _opened(state: SweepState, log: FolderLog) -> Opened:
    from hpo_cli.composer import Composer

    began = state.began
    if not (state.folder / CONF / "config.yaml").is_file():
        fix = "restore the folder, or begin another sweep"
        raise UserError(f"{state.folder / CONF}: the option files that the sweep began with are not there; {fix}")
    composer = Composer(began["base"], config_dir=state.folder / CONF, config_name=began.get("config_name") or "config")
    return Opened(state, log, composer)


def _command(words: ComposeWords) -> list[str]:
    program, *rest = words.command
    return [program, "-m", *rest]


def change(opened: Opened, asked: Asked, *, given: Sequence[str]) -> list[str]:
    """Take over what other words ask of a sweep that was begun; what changed, in lines.

    given: the `sweep.*` keys among the words, the others stay as they were. Raises ConfigError, before anything is
    written, for what would make its trials incomparable, and for what no search could go on with.
    """
    state = opened.state
    _check_same(state, asked)
    new = {key: getattr(asked.settings, key) for key in given if key not in ("dir", "resume")}
    new = {key: value for key, value in new.items() if value != getattr(state.settings, key)}
    if fixed := [key for key in new if key not in EDITABLE]:
        rule = f"cannot change while a sweep runs, and was {getattr(state.settings, fixed[0])}"
        raise ConfigError(f"sweep.{fixed[0]}", new[fixed[0]], rule=rule, fix="leave it out, or begin another sweep")
    changes = [f"sweep.{key}: was {getattr(state.settings, key)}, now {value}" for key, value in new.items()]
    changes += asked.space.differences(state.space)
    if not changes:
        return []
    settings = replace(state.settings, **new)
    if "trials" not in given and "trials" in asked.open and "trials" in (state.began.get("open") or ()):
        trials = trials_anew(state.settings, settings, space=state.space, new=asked.space)
        settings = replace(settings, trials=trials)
    check_sweep(settings, asked.space, state.aims, epochs=state.epochs)
    event = {"event": "edited", "changes": changes, "settings": asdict(settings), "space": asked.space.to_json()}
    with opened.log.locked():
        state.replay(opened.log.news())
        state.replay(opened.log.append({**event, "who": "its command", "why": "called with other words"}))
    return changes


def _check_same(state: SweepState, asked: Asked) -> None:
    """Raise ConfigError where every trial would be another one than those that are there."""
    now = asked.to_json()
    for key, told in (
        ("base", "the words of every trial"),
        ("aims", "its objectives"),
        ("inner", "the runs of a trial"),
    ):
        if now[key] != state.began[key]:
            was = " ".join(map(_told, state.began[key])) or "none"
            fix = "give the same ones, or begin another sweep"
            raise ConfigError("sweep.dir", str(state.folder), rule=f"{told} were: {was}", fix=fix)


def _told(one: Any) -> str:
    return " ".join(f"{key}={value}" for key, value in one.items()) if isinstance(one, Mapping) else str(one)


def drive(opened: Opened, workers: Workers, interrupts: Interrupts, *, allow: Sequence[str] = ()) -> int:
    """Drive a sweep until it is over; the exit code."""
    from hpo_cli.console.sweep_end import announce
    from hpo_cli.console.sweep_table import sweep_view
    from hpo_cli.sweep.conduct import Session
    from hpo_cli.sweep.editing import Editing
    from hpo_cli.sweep.storage import Storage

    announce(opened.state)
    with sweep_view(opened.state) as view:
        driver = _driver(opened, workers.ready_for(opened), allow)
        with closing(Storage(driver.state, say=view.said)) as storage:
            try:
                Session(driver, view, storage, interrupts, Editing()).run()
            except OSError as error:
                raise _broken_off(driver.state.folder, error) from error
    return _conclude(driver.state, interrupts)


def _driver(opened: Opened, executor: Executor, allow: Sequence[str]) -> Driver:
    from hpo_cli.sweep.adopting import link_newest
    from hpo_cli.sweep.drive import Driver
    from hpo_cli.sweep.jobs import Tools
    from hpo_cli.sweep.schedulers.make import make_scheduler
    from hpo_cli.sweep.search.make import make_search

    state = opened.state
    with opened.log.locked():
        state.replay(opened.log.news())
    settings, space, aims = state.settings, state.space, state.aims
    own = state.folder / CONF if state.began.get("config_dir") else None
    tools = Tools(
        executor=executor,
        make=opened.composer.made,
        facts=partial(read_facts, aims=aims, reduce=settings.reduce),
        prune=_prune,
        seconds=time.monotonic,
        command=partial(_run_command, config_dir=own, config_name=state.began.get("config_name")),
        link=link_newest,
        job_fields={
            "config_dir": None if own is None else str(own),
            "allow": tuple(allow),
            "parent": state.began.get("parent"),
        },
    )
    search = make_search(settings, space, aims, base=space.base)
    scheduler = make_scheduler(settings, epochs=state.epochs, aims=aims, space=space, base=space.base)
    heard, log = read_anew(state.folder, scheduler.heard)
    return Driver(heard, log, tools, search=search, scheduler=scheduler, who=this_process().to_json())


def _run_command(made: Made, *, config_dir: Path | None, config_name: str | None) -> list[str]:
    return ComposeWords(made.words, config_dir, config_name or "config").command


def _prune(job: Job, why: str) -> None:
    send(job.folder, "stop", {}, who="sweep", why=why)


class Workers:
    """Where trials train: local processes, which begin to import torch at once, or a launcher of Hydra's."""

    def __init__(self, words: Sequence[str]) -> None:
        self._executor: Executor | None = None
        if not any(word.startswith("hydra/launcher=") for word in words):
            from hpo_cli.sweep.executors.local import LocalExecutor

            self._executor = LocalExecutor(1)

    def ready_for(self, opened: Opened) -> Executor:
        """The executor of a sweep, with the slots that it asks for."""
        from hpo_cli.sweep.executors.local import LocalExecutor, default_slots

        settings, launcher = opened.state.settings, opened.state.began.get("launcher") or []
        if any(word.startswith("hydra/launcher=") for word in launcher):
            from hpo_cli.sweep.executors.hydra_launcher import HydraExecutor

            self.__exit__()
            self._executor = HydraExecutor(launcher, folder=opened.state.folder, slots=settings.workers or 1)
            return self._executor
        plan = opened.plan.to_dict()
        local = self._executor if isinstance(self._executor, LocalExecutor) else LocalExecutor(1)
        local.expect(plan, slots=settings.workers or default_slots(plan), worker=settings.worker)
        self._executor = local
        return local

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if self._executor is not None:
            self._executor.close()


def _broken_off(folder: Path, error: OSError) -> RunFailedError:
    """What a user reads when the log cannot be written any more, as on a full disk."""
    fix = f"its trials save their state; free space, then: hpo-run -m sweep.resume={folder}"
    return RunFailedError(f"{folder}: the sweep cannot write its log ({error.strerror or error}); {fix}")


def _conclude(state: SweepState, interrupts: Interrupts) -> int:
    from hpo_cli.console.leaderboard import summary
    from hpo_cli.console.sweep_end import conclude
    from hpo_cli.report.digest import digest

    board = [] if interrupts.count else list(summary(digest(state)))
    conclude(state, interrupted=interrupts.name if interrupts.count else "", leaderboard=board)
    if interrupts.count:
        return interrupts.exit_code
    return 1 if state.num_failed or not state.trials else 0
