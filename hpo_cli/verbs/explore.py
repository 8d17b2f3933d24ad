"""`hpo-run explore [overrides]`: looks at the data of a config before anything is trained on it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hpo_cli.console.output import Span, line, write, write_json
from hpo_cli.errors import UserError
from hpo_cli.verbs.composing import composed, composing_parser, read_words

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from hpo_cli.components.data.arrays import RawData
    from hpo_cli.components.data.partition import Partition
    from hpo_cli.components.data.survey import Survey
    from hpo_cli.plan import RunPlan

ABOUT = "Look at the data: classes, features, copies, outliers, and some samples of the training part."


@dataclass(frozen=True)
class Explored:
    """The data of a plan, its parts, and what is known about them."""

    raw: RawData
    parts: Partition
    survey: Survey


def main(argv: list[str]) -> int:
    """Print what is known about the data of the composed config, and draw some of it."""
    parser = composing_parser("explore", about=ABOUT)
    parser.add_argument("--json", action="store_true", help="print JSON for another program")
    parser.add_argument("--png", metavar="FILE", help="also write a grid of training images, one class a row")
    words, args = read_words(parser, argv)
    plan = composed(words).plan
    explored = explore(plan)
    if args.png:
        _write_samples(explored, Path(args.png))
    if args.json:
        from hpo_cli.components.data.concerns import concerns

        write_json({**explored.survey.to_dict(), "warnings": list(concerns(explored.survey))})
    else:
        from hpo_cli.verbs.explore_page import page

        write(list(page(explored.survey, explored.raw, explored.parts)))
        if args.png:
            write([line(Span("written", "dim"), f"  {args.png}")])
    return 0


def explore(plan: RunPlan) -> Explored:
    """Load and split the data of a plan, without standardising it. Raises ConfigError."""
    from hpo_cli.components.data.checks import check_finite
    from hpo_cli.components.data.load import load_raw
    from hpo_cli.components.data.parts import SplitKeys, find_parts
    from hpo_cli.components.data.selection import keep_classes
    from hpo_cli.components.data.survey import survey

    data = plan.data
    raw = load_raw(data, allow=plan.allow_targets)
    raw = raw if data.classes is None else keep_classes(raw, data.classes, task=data.task)
    check_finite(raw)
    keys = SplitKeys(
        data.val_fraction, data.test_fraction, data.subset, data.split_seed, folds=data.folds, fold=data.fold
    )
    parts = find_parts(raw, task=data.task, keys=keys)
    return Explored(raw, parts, survey(raw, parts, task=data.task))


def _write_samples(explored: Explored, path: Path) -> None:
    import numpy as np

    from hpo_cli.components.data.samples import of_each_class
    from hpo_cli.console.png import grid, write_png

    if explored.raw.x.ndim != 4:  # noqa: PLR2004 - [n, c, h, w]
        raise UserError(f"--png {path}: draws images, and this data has none; leave it out")
    found = of_each_class(explored.raw, explored.parts.train, num_each=PNG_COLUMNS, most_classes=PNG_CLASSES)
    scale = max(1, PNG_SMALLEST // max(explored.raw.x.shape[2:]))
    images = []
    for rows in found:
        row = [_image(explored, index).repeat(scale, axis=0).repeat(scale, axis=1) for index in rows]
        blank = np.full_like(row[0], 255)
        images += row + [blank] * (PNG_COLUMNS - len(row))
    write_png(path, grid(images, columns=PNG_COLUMNS))


def _image(explored: Explored, row: int) -> NDArray[np.uint8]:
    from hpo_cli.components.data.samples import pixels

    return pixels(explored.raw.x[row], low=explored.survey.low, high=explored.survey.high)


PNG_COLUMNS = 10
PNG_CLASSES = 100
PNG_SMALLEST = 48
"""Smaller images are enlarged, whole pixels at a time, so that a person can see them."""
