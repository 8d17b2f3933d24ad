"""`hpo-run replay RUN`: train a run again from its seed, with its nudges at their steps, and compare every bit."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import redirect_stdout, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hpo_cli.console import styles
from hpo_cli.console.output import Line, Span, line, write, write_json
from hpo_cli.errors import RunFailedError, UserError
from hpo_cli.plan import RunPlan
from hpo_cli.record import ledger
from hpo_cli.record.atomic import replace_file
from hpo_cli.record.contents import count, mapping, words
from hpo_cli.record.folder import CHECKPOINTS, HYDRA, METRICS, START
from hpo_cli.record.line import Line as Chain
from hpo_cli.record.line import is_adoption
from hpo_cli.record.metrics import read_metrics
from hpo_cli.record.reading import read_run
from hpo_cli.record.runs import find_run
from hpo_cli.record.start import Origin, start_run
from hpo_cli.record.weights import numbered, order_of
from hpo_cli.verbs.arguments import RUN_HELP, reading_parser
from hpo_cli.verbs.children import Parent, put_off, read_parent, train_child
from hpo_cli.verbs.trusting import add_allow

ABOUT = "Train a run again from its seed with the nudges of its ledger: the same plan and ledger give the same weights."


@dataclass(frozen=True)
class Replayed:
    """A run and its replay. step: where both end; found: the first differences of weights or states, none if equal.

    row: the first step whose metrics differ; None when all rows are equal.
    """

    original: Path
    folder: Path
    step: int
    steered: int
    found: tuple[str, ...]
    row: int | None = None
    failed: str = ""

    @property
    def is_identical(self) -> bool:
        """Whether the weights have the same bits."""
        return not self.found

    def to_json(self) -> dict[str, Any]:
        """All of it in types that JSON knows."""
        own = {key: str(value) if isinstance(value, Path) else value for key, value in vars(self).items()}
        return {**own, "found": list(self.found), "identical": self.is_identical}


def main(argv: Sequence[str]) -> int:
    """Train again and compare; 0 when the weights have the same bits, 1 when they have not. Raises UserError."""
    parser = reading_parser("replay", about=ABOUT)
    parser.add_argument("run", metavar="RUN", help=RUN_HELP)
    add_allow(parser)
    args = parser.read(argv)
    original = read_parent(find_run(args.run, args.outputs), allow=args.allow)
    with redirect_stdout(sys.stderr if args.json else sys.stdout):
        found = replay(original, outputs=args.outputs)
    if args.json:
        write_json(found.to_json())
    else:
        write(list(_report(found)))
    return 0 if found.is_identical else 1


def replay(original: Parent, *, outputs: str) -> Replayed:
    """A new run below `outputs` that trains as the original did, and how they compare. Raises UserError."""
    if original.is_live:
        name = original.folder.name
        raise UserError(f"{name}: still trains, so its end is not known; wait, or `hpo-run stop {name}` first")
    line = original.line
    _check_own(line, original.folder.name)
    step = _end_of(original)
    folder = _folder(original, outputs)
    _copy_chain(line, folder)
    _copy_cancelled(original, folder)
    if original.record.status != "finished":
        put_off(folder, step=original.start_step, due={"step": step}, do="stop", why="the original ended here")
    failed = ""
    try:
        if code := train_child(folder):
            raise UserError(f"{folder}: was stopped (exit code {code}); hpo-run resume={folder} goes on")
    except RunFailedError as error:
        failed = str(error).splitlines()[0]
    found = tuple(_differences(original, folder, step))
    return Replayed(original.folder, folder, step, len(line.chain), found, _first_row(original.folder, folder), failed)


def _check_own(line: Chain, name: str) -> None:
    """Refuse a run whose past is not its own plan's alone. Raises UserError."""
    for event in filter(is_adoption, line.chain):
        rule = (
            f"took over the state of {event['adopted'].get('run')} at step {event['to']}, which its plan cannot repeat"
        )
        raise UserError(f"{name}: {rule}; hpo-run export {name} writes all that its model met as a config to train")


def _end_of(original: Parent) -> int:
    """The step at which the original's weights are known."""
    if original.record.weights_sha256 and original.record.steps is not None:
        return original.record.steps
    saved = [count(event.get("step")) or 0 for event in original.line.checkpoints]
    if not saved:
        raise UserError(f"{original.folder}: ended before its first checkpoint, so there is nothing to compare with")
    return max(saved)


def _folder(original: Parent, outputs: str) -> Path:
    """The replay's folder: the same plan, and what a branch begins with."""
    started = original.started
    parent = mapping(started.get("parent")) or None
    who = {"run": original.folder.name, "path": str(original.folder.resolve()), "threads": original.threads}
    first = original.folder / START
    return start_run(
        _with_outputs(original.plan, outputs),
        command=words(started.get("command")),
        overrides=words(started.get("overrides")),
        hydra_files=_hydra_files(original.folder),
        origin=Origin(parent, who, _copier(first) if parent else None),
    )


def _with_outputs(plan: RunPlan, outputs: str) -> RunPlan:
    """The plan with the folder of all runs as it is from here."""
    if Path(plan.outputs).is_absolute():
        return plan
    return replace(plan, outputs=outputs, config={**plan.config, "outputs": outputs})


def _hydra_files(folder: Path) -> dict[str, str]:
    found: dict[str, str] = {}
    for path in sorted((folder / HYDRA).glob("*.yaml")):
        with suppress(OSError, UnicodeDecodeError):
            found[path.name] = path.read_text(encoding="utf-8")
    return found


def _copier(source: Path) -> Any:
    def copy(target: Path) -> None:
        try:
            with source.open("rb") as old, replace_file(target) as new:
                shutil.copyfileobj(old, new)
        except FileNotFoundError as error:
            raise UserError(f"{source}: is missing, and a branch begins with it; restore the file") from error

    return copy


def _copy_chain(line: Chain, folder: Path) -> None:
    """The steering events in force, as they were, into the ledger of the replay."""
    for event in line.chain:
        own = {key: value for key, value in event.items() if key not in ("at", "event", "step", "command")}
        ledger.append(folder, event["event"], step=event["step"], **own, via="replay")


def _copy_cancelled(original: Parent, folder: Path) -> None:
    """What was planned, or came with a rollback in force, and was taken back: it would happen in the replay."""
    line = original.line
    for event in original.events:
        name = str(event.get("scheduled"))
        if event["event"] == "cancelled" and (name.startswith("planned-") or name in line.ids):
            own = {key: value for key, value in event.items() if key not in ("at", "event", "step", "command")}
            ledger.append(folder, "cancelled", step=event["step"], **own, via="replay")


def _differences(original: Parent, folder: Path, step: int) -> Iterator[str]:
    """What the two ends do not share."""
    there, here = original.record.weights_sha256, read_run(folder).weights_sha256
    if there and there == here:
        return
    from hpo_cli.engine import checkpoints
    from hpo_cli.engine.differences import differences

    ends = [
        [path for path in numbered(place / CHECKPOINTS, "step-") if order_of(path)[0] == step]
        for place in (original.folder, folder)
    ]
    if all(ends):
        found = differences(*(checkpoints.load(paths[-1]) for paths in ends))
        yield from (text for text in found if there or text.startswith(("model", "optimizer", "average")))
        if not there or found:
            return
    yield f"weights_sha256: {there[:12] or 'none'} and {here[:12] or 'none'}"


def _first_row(original: Path, folder: Path) -> int | None:
    """The first step whose metrics differ."""
    there, here = (read_metrics(place / METRICS) if (place / METRICS).exists() else [] for place in (original, folder))
    known = {row["step"]: row for row in here}
    return next((row["step"] for row in there if row != known.get(row["step"], row)), None)


def _report(found: Replayed) -> Iterator[Line]:
    steered = f"{found.steered} nudge{'s' * (found.steered != 1)} and rollbacks" if found.steered else "no nudges"
    yield line(Span("replay", styles.QUIET), f" of {found.original.name}: {found.step} steps, {steered}")
    if found.failed:
        yield line(Span("failed", styles.BAD), f" {found.failed}")
    if found.is_identical:
        yield line(Span("identical", styles.GOOD), f"  {read_run(found.folder).weights_sha256}")
    else:
        yield line(Span("different", styles.BAD), f"  {found.found[0]}")
        yield from (line(f"           {text}") for text in found.found[1:])
    if found.row is not None:
        yield line(Span("note  ", "yellow"), f"the first row of metrics that differs is that of step {found.row}")
    yield line(Span("run   ", styles.QUIET), str(found.folder))
