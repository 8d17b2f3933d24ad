import builtins
import importlib.metadata
import random

import numpy as np
import pytest

from hpo_cli.components.data import mnist1d as module
from hpo_cli.components.data.mnist1d import mnist1d
from hpo_cli.errors import ConfigError


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "hpo-run" / "mnist1d"


def equal(one, other):
    pairs = [(one.x, other.x), (one.y, other.y), *zip(one.test, other.test, strict=True)]
    return all(np.array_equal(a, b) for a, b in pairs)


def test_it_is_what_the_package_makes():
    from mnist1d.data import get_dataset_args, make_dataset

    args = get_dataset_args()
    args.num_samples, args.seed = 200, 7
    state = np.random.get_state()  # noqa: NPY002
    made = make_dataset(args)
    np.random.set_state(state)  # noqa: NPY002
    raw = mnist1d(num_samples=200, generator_seed=7)
    np.testing.assert_array_equal(raw.x[:, 0], made["x"].astype(np.float32))
    np.testing.assert_array_equal(raw.test[0][:, 0], made["x_test"].astype(np.float32))
    np.testing.assert_array_equal(raw.y, made["y"])
    np.testing.assert_array_equal(raw.test[1], made["y_test"])
    assert raw.x.shape == (160, 1, 40)
    assert raw.class_names == tuple("0123456789")


def test_the_defaults_are_the_packages():
    from mnist1d.data import get_dataset_args

    args = get_dataset_args()
    assert (args.num_samples, args.seed, args.train_split) == (5000, 42, 0.8)
    assert mnist1d.__kwdefaults__ == {"num_samples": 5000, "generator_seed": 42}


def test_the_cache_gives_the_same_bits_and_is_used(cache, monkeypatch):
    first = mnist1d(num_samples=100)
    assert len(list(cache.iterdir())) == 1
    monkeypatch.setattr(module, "_generated", None)  # would raise if it were called
    assert equal(mnist1d(num_samples=100), first)


def test_each_seed_and_size_has_its_own_file(cache):
    one, two = mnist1d(num_samples=100), mnist1d(num_samples=100, generator_seed=1)
    mnist1d(num_samples=110)
    assert not equal(one, two)
    assert len(list(cache.iterdir())) == 3


@pytest.mark.parametrize("damage", [lambda content: content[:-100], lambda _: b"", lambda _: b"x" * 50])
def test_a_damaged_cache_is_made_anew(cache, damage):
    first = mnist1d(num_samples=100)
    (path,) = cache.iterdir()
    path.write_bytes(damage(path.read_bytes()))
    assert equal(mnist1d(num_samples=100), first)
    with np.load(path) as file:
        assert sorted(file) == ["x", "x_test", "y", "y_test"]


def test_a_cache_that_cannot_be_written_is_no_obstacle(monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert mnist1d(num_samples=100).x.shape == (80, 1, 40)


def test_the_global_generators_are_left_alone():
    random.seed(3)
    np.random.seed(3)  # noqa: NPY002
    expected = random.random(), np.random.random()  # noqa: NPY002
    random.seed(3)
    np.random.seed(3)  # noqa: NPY002
    mnist1d(num_samples=100)
    assert (random.random(), np.random.random()) == expected  # noqa: NPY002


def test_without_the_package_the_extra_is_named(monkeypatch):
    def missing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", missing)
    with pytest.raises(ConfigError, match=r"pip install 'hpo-run\[vision\]'"):
        mnist1d()


def test_a_package_that_cannot_be_imported_names_the_extra(monkeypatch):
    real = builtins.__import__

    def no_mnist1d(name, *args, **kwargs):
        if name.startswith("mnist1d"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", no_mnist1d)
    with pytest.raises(ConfigError, match=r"pip install 'hpo-run\[vision\]'"):
        mnist1d(num_samples=120)
