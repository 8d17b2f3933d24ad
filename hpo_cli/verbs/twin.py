"""`hpo-run twin RUN lr/=3 --epochs 2`: two children from one state, with a nudge and without: did it help."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from hpo_cli.console.output import Span, line, write, write_json
from hpo_cli.errors import RunFailedError, UserError
from hpo_cli.record import ledger
from hpo_cli.record.contents import count, mapping
from hpo_cli.record.folder import METRICS
from hpo_cli.record.metrics import read_metrics
from hpo_cli.record.runs import find_run
from hpo_cli.steer.ancestors import Birth, check_length
from hpo_cli.steer.changes import revised, value_of
from hpo_cli.verbs.arguments import whole_number
from hpo_cli.verbs.branch import branching_parser, read_overrides
from hpo_cli.verbs.children import Parent, make_child, past, put_off, read_parent, train_child
from hpo_cli.verbs.composing import composed
from hpo_cli.verbs.inheriting import key_of
from hpo_cli.verbs.twin_report import Comparison, report
from hpo_cli.verbs.twin_winner import keep_winner

ABOUT = "Two children of a run from one state, one with a nudge: same data, same randomness. Did it help?"
TWINS = ("without", "with")


def main(argv: Sequence[str]) -> int:
    """Train the twins and say which did better; the exit code. Raises UserError."""
    parser = branching_parser("twin", about=ABOUT)
    parser.usage = f"{parser.prog} RUN key=value [key/=3 ...] [options]"
    parser.add_argument("--epochs", metavar="N", type=whole_number, default=2, help="how long they train (default: 2)")
    parser.add_argument("--keep", action="store_true", help="apply the nudge to RUN where it did better")
    args, words = read_overrides(parser, argv)
    outputs = [word for word in words if key_of(word) == "outputs"]
    nudge = [word for word in words if word not in outputs]
    if not nudge or not args.epochs:
        parser.error("nothing to try: name a nudge such as lr/=3, and at least one epoch")
    parent = read_parent(find_run(args.run, args.outputs), allow=args.allow)
    with redirect_stdout(sys.stderr if args.json else sys.stdout):
        found = _try(parent, nudge, args.at, epochs=args.epochs, outputs=outputs)
        kept = keep_winner(parent, found) if args.keep else ""
    if args.json:
        write_json({**found.to_json(), "kept": kept})
    else:
        write([*report(found, kept=kept)])
    return 0


def _try(parent: Parent, words: Sequence[str], at: str, *, epochs: int, outputs: Sequence[str]) -> Comparison:
    from hpo_cli.verbs.nudging import checked_against

    goal = parent.goal(at)
    setting = parent.setting_at(goal)
    heir = parent.heir(goal, outputs)
    changes = checked_against(setting, words, ref=parent.folder.name, config_dir=heir.words.config_dir)
    found = composed(heir.words)
    state = past(parent, goal)
    check_length(parent, found.plan, state)
    step, end = state["position"]["step"], state["position"]["epoch"] + epochs
    length = f"{epochs} epoch{'s' * (epochs > 1)}"
    folders = {}
    for which in TWINS:
        more = {"twin": which, "changes": list(words) if which == "with" else []}
        folders[which] = make_child(found, Birth(parent, goal, state, more=more))
        why = f"twin of {folders['without'].name}" if which == "with" else "twin"
        if which == "with":
            put_off(folders[which], step=step, due={"step": step}, do="nudge", changes=dict(changes), why=why)
        put_off(folders[which], step=step, due={"epoch": end}, do="stop", why=f"{why}: {length}")
    failed = {which: why for which, folder in folders.items() if (why := _train(folder, f"{which} {' '.join(words)}"))}
    after = revised(*setting, changes)
    return Comparison(
        parent=parent.folder,
        step=step,
        words=tuple(words),
        settings={key: value_of(*after, key) for key in changes},
        folders=folders,
        rows={which: _validations(folder) for which, folder in folders.items()},
        failed=failed,
        objective=found.plan.objective,
        num_val=_num_val(folders["without"]),
    )


def _train(folder: Path, which: str) -> str:
    """Train one of them; why it failed, empty when it did not. Raises UserError when it was stopped."""
    write([line(), line(Span("twin  ", "dim"), Span(which, "bold"))])
    try:
        code = train_child(folder)
    except RunFailedError as error:
        return str(error).splitlines()[0]
    if code:
        raise UserError(f"{folder}: was stopped; hpo-run resume={folder} goes on with it, hpo-run diff compares")
    return ""


def _validations(folder: Path) -> list[dict[str, Any]]:
    rows = read_metrics(folder / METRICS) if (folder / METRICS).exists() else []
    return [row for row in rows if any(name.startswith("val/") for name in row)]


def _num_val(folder: Path) -> int | None:
    state = ledger.fold(ledger.read_ledger(folder).events)
    return count(mapping(state.data).get("val"))
