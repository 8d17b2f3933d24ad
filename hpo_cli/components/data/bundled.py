"""Data sets inside scikit-learn's wheel, read from its files: importing scikit-learn would cost seconds."""

from __future__ import annotations

import gzip
import importlib.util
import io
from pathlib import Path

import numpy as np

from hpo_cli.components.data.arrays import RawData
from hpo_cli.errors import ConfigError

_MEASURED = (
    *("radius", "texture", "perimeter", "area", "smoothness"),
    *("compactness", "concavity", "concave points", "symmetry", "fractal dimension"),
)
_TUMOUR = (
    *(f"mean {what}" for what in _MEASURED),
    *(f"{what} error" for what in _MEASURED),
    *(f"worst {what}" for what in _MEASURED),
)
_WINE = (
    *("alcohol", "malic_acid", "ash", "alcalinity_of_ash", "magnesium", "total_phenols", "flavanoids"),
    *("nonflavanoid_phenols", "proanthocyanins", "color_intensity", "hue", "od280/od315_of_diluted_wines", "proline"),
)
_IRIS = ("sepal length (cm)", "sepal width (cm)", "petal length (cm)", "petal width (cm)")
_PATIENT = ("age", "sex", "bmi", "bp", "s1", "s2", "s3", "s4", "s5", "s6")


def digits() -> RawData:
    """Handwritten digits: x [1797, 1, 8, 8] of 0 .. 16, ten classes. Source: UCI optdigits."""
    text = gzip.decompress(_bundled_file("digits.csv.gz").read_bytes()).decode()
    rows = np.loadtxt(io.StringIO(text), delimiter=",", dtype=np.int64)  # five times as fast as from a .gz path
    names = tuple(str(digit) for digit in range(10))
    x = rows[:, :-1].astype(np.float32).reshape(-1, 1, 8, 8)
    return RawData(x, rows[:, -1], class_names=names)


def breast_cancer() -> RawData:
    """Tumours, malignant or benign: x [569, 30], two classes. Source: UCI, Wisconsin diagnostic."""
    return _class_table("breast_cancer.csv", feature_names=_TUMOUR)


def wine() -> RawData:
    """Chemical analyses of wines of three growers: x [178, 13], three classes. Source: UCI, wine recognition."""
    return _class_table("wine_data.csv", feature_names=_WINE)


def iris() -> RawData:
    """Lengths and widths of iris flowers: x [150, 4], three species. Source: Fisher 1936."""
    return _class_table("iris.csv", feature_names=_IRIS)


def diabetes() -> RawData:
    """Disease progression after a year: x [442, 10] in raw units, y [442, 1]. Source: Efron et al. 2004."""
    x = np.loadtxt(_bundled_file("diabetes_data_raw.csv.gz"), dtype=np.float32)
    y = np.loadtxt(_bundled_file("diabetes_target.csv.gz"), dtype=np.float32)
    return RawData(x, y.reshape(-1, 1), feature_names=_PATIENT)


def _class_table(name: str, *, feature_names: tuple[str, ...]) -> RawData:
    """Rows of numbers whose last is the label, under a line `samples,features,class,class,...`."""
    with _bundled_file(name).open(encoding="utf-8") as file:
        class_names = tuple(file.readline().strip().split(",")[2:])
        rows = np.loadtxt(file, delimiter=",", dtype=np.float32)
    y = rows[:, -1].astype(np.int64)
    return RawData(rows[:, :-1], y, class_names=class_names, feature_names=feature_names)


def _bundled_file(name: str) -> Path:
    package = importlib.util.find_spec("sklearn")  # finds a top-level package without importing it
    folders = (package.submodule_search_locations if package else None) or []
    for folder in folders:
        path = Path(folder) / "datasets" / "data" / name
        if path.is_file():
            return path
    raise ConfigError(
        "data",
        rule=f"{name}, a file of scikit-learn, was not found",
        fix="pip install --upgrade scikit-learn",
    )
