"""MNIST-1D: ten classes of noisy one-dimensional signals, made by the PyPI package `mnist1d`, cached."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import io
import json
import logging
import random
import warnings
import zipfile
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from hpo_cli.components.data.arrays import RawData
from hpo_cli.components.data.cache import cache_folder, write_atomically
from hpo_cli.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

Arrays: TypeAlias = dict[str, NDArray[Any]]


def mnist1d(*, num_samples: int = 5000, generator_seed: int = 42) -> RawData:
    """Signals x [4000, 1, 40] and a test split of 1,000 at the defaults, which give the published set.

    num_samples: in all, of which a fifth is the test split.   generator_seed: draws the signals themselves.
    The first call takes seconds; later ones read `$XDG_CACHE_HOME/hpo-run/mnist1d`. A damaged cache is made
    anew, one that cannot be written costs time only.   Source: Greydanus & Kobak 2020, arXiv 2011.14439.
    """
    path = _cache_path(num_samples=num_samples, seed=generator_seed)
    arrays = _cached(path)
    if arrays is None:
        arrays = _generated(num_samples=num_samples, seed=generator_seed)
        with contextlib.suppress(OSError):
            write_atomically(path, _npz(arrays))
    names = tuple(str(digit) for digit in range(10))
    return RawData(arrays["x"], arrays["y"], class_names=names, test=(arrays["x_test"], arrays["y_test"]))


def _cache_path(*, num_samples: int, seed: int) -> Path:
    try:
        version = importlib.metadata.version("mnist1d")
    except importlib.metadata.PackageNotFoundError:
        raise _package_missing() from None
    key = json.dumps({"num_samples": num_samples, "seed": seed, "version": version}, sort_keys=True)
    return cache_folder() / "mnist1d" / f"{hashlib.sha256(key.encode()).hexdigest()[:16]}.npz"


def _cached(path: Path) -> Arrays | None:
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as saved:
            return {name: saved[name] for name in ("x", "y", "x_test", "y_test")}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None


def _npz(arrays: Arrays) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()


def _generated(*, num_samples: int, seed: int) -> Arrays:
    try:
        with _quiet():
            from mnist1d.data import get_dataset_args, make_dataset
    except ImportError:
        raise _package_missing() from None
    args = get_dataset_args()
    args.num_samples, args.seed = num_samples, seed
    with _global_generators_kept(), _quiet():
        made = make_dataset(args)
    return {
        "x": made["x"].astype(np.float32)[:, None, :],
        "y": made["y"].astype(np.int64),
        "x_test": made["x_test"].astype(np.float32)[:, None, :],
        "y_test": made["y_test"].astype(np.int64),
    }


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the terminal clean of what matplotlib and requests, which the package imports, have to say."""
    previous = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(previous)


@contextlib.contextmanager
def _global_generators_kept() -> Iterator[None]:
    """Undo that `make_dataset` seeds `random` and `numpy.random`: a run's own draws must not notice."""
    python_state, numpy_state = random.getstate(), np.random.get_state()  # noqa: NPY002 that very generator
    try:
        yield
    finally:
        random.setstate(python_state)
        np.random.set_state(numpy_state)  # noqa: NPY002


def _package_missing() -> ConfigError:
    return ConfigError("data", "mnist1d", rule="needs the package mnist1d", fix="pip install 'hpo-run[vision]'")
