"""Times our augmentation beside a comparable set of kornia's, interleaved, and prints the ratio.

python scripts/bench_augment.py [--rounds 15]
"""

from __future__ import annotations

import argparse
import datetime as dt
import os
import platform
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor

from hpo_cli.components.augment import Augment
from hpo_cli.components.torchvision_ops import import_vision
from hpo_cli.options import list_options

SHAPE = (128, 1, 28, 28)


def ours(name: str) -> Callable[[Tensor], Tensor]:
    keys = {k: v for k, v in list_options("augment")[name].defaults.items() if not k.startswith("_")}
    return Augment(input_shape=SHAPE[1:], input_mean=(0.5,), input_scale=(0.5,), **keys)


def kornias() -> Callable[[Tensor], Tensor]:
    """Flip, turn with a shift, brightness, contrast, blur, a box: what `strong` does."""
    kornia = import_vision("kornia.augmentation", key="augment", value="strong")
    return torch.nn.Sequential(
        kornia.RandomHorizontalFlip(p=0.5),
        kornia.RandomAffine(degrees=15.0, translate=(0.125, 0.125), p=1.0),
        kornia.RandomBrightness((0.6, 1.4), p=1.0),
        kornia.RandomContrast((0.6, 1.4), p=1.0),
        kornia.RandomGaussianBlur((3, 3), (0.1, 1.0), p=0.2),
        kornia.RandomErasing(p=0.25),
    )


def milliseconds(function: Callable[[Tensor], Tensor], x: Tensor) -> float:
    began = time.perf_counter()
    for _ in range(10):
        function(x)
    return 100.0 * (time.perf_counter() - began)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    args = parser.parse_args()
    torch.set_num_threads(1)
    x = torch.rand(SHAPE)
    functions = {"kornia": kornias(), **{name: ours(name) for name in ("light", "standard", "strong")}}
    found: dict[str, list[float]] = {name: [] for name in functions}
    for function in functions.values():
        milliseconds(function, x)
    for _ in range(args.rounds):
        for name, function in functions.items():
            found[name].append(milliseconds(function, x))
    print(f"{dt.datetime.now(tz=dt.UTC).date()}, {platform.machine()}, {os.cpu_count()} cores, one thread, {SHAPE}\n")
    base = statistics.median(found["kornia"])
    for name, times in found.items():
        print(f"{name:10} {statistics.median(times):6.2f} ms  {statistics.median(times) / base:5.2f} of kornia's")


if __name__ == "__main__":
    main()
