"""`hpo-run check [overrides]`: composes, validates, builds, runs one batch forward and backward, and saves nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from hpo_cli.console.output import Line, Span, can_draw, line, width, write, write_json
from hpo_cli.console.plot import Curve, Drawing, Frame, plot
from hpo_cli.verbs.composing import composed, composing_parser, read_words

if TYPE_CHECKING:
    from hpo_cli.engine.trial import Trial

LR_CURVE_ROWS = 12


def main(argv: list[str]) -> int:
    """Print the model's layers, what one batch does, and the learning rate from start to end."""
    parser = composing_parser("check", about="Build everything and run one batch; save nothing.")
    parser.add_argument("--json", action="store_true", help="print JSON for another program")
    words, args = read_words(parser, argv)
    plan = composed(words).plan
    from hpo_cli.engine.trial import try_plan

    trial = try_plan(plan)
    if args.json:
        write_json(trial.to_dict())
    else:
        write(list(_report(trial)))
    return 0


def _report(trial: Trial) -> Iterator[Line]:
    widest = max(len(layer.name) for layer in trial.layers)
    yield line(Span("model", "bold"))
    for layer in trial.layers:
        shape = "x".join(map(str, layer.output_shape))
        yield line(f"  {layer.name:{widest}}  {layer.kind:20} {shape:>14}  {layer.parameters:>10,}")
    yield line(f"  {trial.parameters:,} parameters" + (f", {trial.frozen:,} of them frozen" if trial.frozen else ""))
    if trial.started_from:
        yield line(f"  from {trial.started_from}")
    yield line("")
    yield line(Span("one batch", "bold"), f"  of {trial.batch_size}")
    yield line(
        f"  loss {trial.loss:.4f}, gradient norm {trial.gradient_norm:.4g}, {1e3 * trial.step_seconds:.2f} ms a step"
    )
    yield line("")
    yield line(Span("learning rate", "bold"), f"  over {trial.total_steps:,} steps ({trial.epochs} epochs)")
    drawing: Drawing = "braille" if can_draw() else "marks"
    frame = Frame("", "step", min(width(), 100), LR_CURVE_ROWS, drawing)
    yield from plot([Curve("lr", trial.lr_steps, trial.lr_values)], frame)
    yield line("")
    yield line(Span("good", "bold green"), "  nothing was saved; leave out `check` to train")
