import subprocess
import sys

import numpy as np
import pytest
from sklearn import datasets

from hpo_cli.components.data import bundled
from hpo_cli.errors import ConfigError


def test_digits_equal_scikit_learns():
    raw, published = bundled.digits(), datasets.load_digits()
    np.testing.assert_array_equal(raw.x, published.images[:, None])
    np.testing.assert_array_equal(raw.y, published.target)
    assert raw.x.dtype == np.float32
    assert raw.y.dtype == np.int64
    assert raw.class_names == tuple(str(name) for name in published.target_names)


@pytest.mark.parametrize("name", ["breast_cancer", "wine", "iris"])
def test_tables_of_classes_equal_scikit_learns(name):
    raw, published = getattr(bundled, name)(), getattr(datasets, f"load_{name}")()
    np.testing.assert_array_equal(raw.x, published.data.astype(np.float32))
    np.testing.assert_array_equal(raw.y, published.target)
    assert raw.y.dtype == np.int64
    assert raw.class_names == tuple(published.target_names)
    assert raw.feature_names == tuple(published.feature_names)


def test_diabetes_equals_scikit_learns_raw_features():
    raw, published = bundled.diabetes(), datasets.load_diabetes(scaled=False)
    np.testing.assert_array_equal(raw.x, published.data.astype(np.float32))
    np.testing.assert_array_equal(raw.y, published.target.astype(np.float32)[:, None])
    assert raw.class_names is None
    assert raw.feature_names == tuple(published.feature_names)


def test_reading_imports_no_heavy_package():
    code = (
        "import sys; from hpo_cli.components.data import bundled, cifar, idx, images, mnist1d, split, tables;"
        "bundled.digits();"
        "print(sorted({'sklearn', 'scipy', 'torch', 'pandas', 'matplotlib', 'mnist1d', 'PIL'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_missing_file_names_the_package(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(ConfigError, match=r"digits\.csv\.gz.*pip install --upgrade scikit-learn"):
        bundled.digits()
