"""What verbs that run a saved model share: a plan that may be trusted, and damage named by its file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from hpo_cli.errors import UserError
from hpo_cli.plan import RunPlan, plan_from_dict, plan_id
from hpo_cli.record.contents import DamagedError, Values, read_plan, text
from hpo_cli.record.folder import PLAN

if TYPE_CHECKING:
    from hpo_cli.verbs.arguments import Parser


def add_allow(parser: Parser) -> None:
    """The flag without which no code of a run's own is run."""
    parser.add_argument(
        "--allow", action="append", default=[], metavar="MODULE", help="trust what the run's allow_targets names"
    )


def trusted_plan(folder: Path, allow: Sequence[str]) -> RunPlan:
    """The run's plan, unless it names modules of its own: a run's folder from a stranger must not run code."""
    try:
        saved = read_plan(folder)
    except DamagedError as error:
        raise _damaged(folder, str(error)) from error
    named = saved.get("allow_targets") or []
    wanted = [str(name) for name in named] if isinstance(named, list) else [str(named)]
    if unknown := [name for name in wanted if name not in allow]:
        flags = " ".join(f"--allow {name}" for name in unknown)
        raise UserError(f"{folder}: its plan runs code of {', '.join(unknown)}; add {flags} if you trust it")
    try:
        return plan_from_dict(saved)
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise _damaged(folder, f"{PLAN} is not a plan of ours ({_first_line(error)})") from error


def check_started_with(plan: RunPlan, started: Values, *, folder: Path) -> None:
    """The plan must be the one that the ledger says the run was started with. Raises UserError naming both ids."""
    then, now = text(started.get("plan_id")), plan_id(plan.config)
    if then and then != now:
        rule = f"plan.yaml has the id {now}, the ledger says that the run was started with {then}"
        raise UserError(f"{folder}: {rule}; restore the one that was edited")


@contextmanager
def fitting_files(folder: Path) -> Iterator[None]:
    """Inside, what goes wrong is the fault of files in the run's folder that do not fit each other."""
    try:
        yield
    except (TypeError, ValueError, KeyError, IndexError, AttributeError, RuntimeError) as error:
        raise _damaged(folder, f"{PLAN} and checkpoint do not go together ({_first_line(error)})") from error


def _damaged(folder: Path, what: str) -> UserError:
    return UserError(f"{folder}: {what}; restore the file, or train again")


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
