"""MNIST and Fashion-MNIST from a local folder, in the idx files in which they were published."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hpo_cli.components.data.arrays import RawData
from hpo_cli.components.data.cache import cache_folder
from hpo_cli.components.data.download import download_file
from hpo_cli.components.data.idx_files import read_images, read_labels
from hpo_cli.errors import ConfigError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Source:
    """Where a data set is published. sha256: {file: digest}; system_folder: of the package `apt_package`."""

    name: str
    url: str
    sha256: dict[str, str]
    class_names: tuple[str, ...]
    system_folder: Path | None = None
    apt_package: str | None = None


TRAIN = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte")
TEST = ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")

MNIST = Source(
    name="mnist",
    url="https://ossci-datasets.s3.amazonaws.com/mnist/",
    sha256={
        "train-images-idx3-ubyte.gz": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
        "train-labels-idx1-ubyte.gz": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
        "t10k-images-idx3-ubyte.gz": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
        "t10k-labels-idx1-ubyte.gz": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
    },
    class_names=tuple(str(digit) for digit in range(10)),
)
FASHION_MNIST = Source(
    name="fashion_mnist",
    url="https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/",
    sha256={
        "train-images-idx3-ubyte.gz": "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
        "train-labels-idx1-ubyte.gz": "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
        "t10k-images-idx3-ubyte.gz": "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
        "t10k-labels-idx1-ubyte.gz": "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
    },
    class_names=(
        *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
        *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
    ),
    system_folder=Path("/usr/share/datasets/fashion-mnist"),
    apt_package="dataset-fashion-mnist",
)


def mnist(*, folder: str | None = None, download: bool = False) -> RawData:
    """Handwritten digits, uint8 [60000, 1, 28, 28] and a test split of 10,000. Source: LeCun et al. 1998.

    folder: with the four idx files, packed (.gz) or not; None looks in `$XDG_CACHE_HOME/hpo-run/mnist`.
    download: fetches what is missing into that folder. Raises ConfigError for missing or damaged files.
    """
    return _read(MNIST, folder=folder, download=download)


def fashion_mnist(*, folder: str | None = None, download: bool = False) -> RawData:
    """Photographs of clothes, uint8 [60000, 1, 28, 28] and a test split of 10,000. Source: Xiao et al. 2017.

    folder: with the four idx files, packed (.gz) or not; None looks in
    `$XDG_CACHE_HOME/hpo-run/fashion_mnist`, then where Debian's package dataset-fashion-mnist puts them.
    download: fetches what is missing into that folder. Raises ConfigError for missing or damaged files.
    """
    return _read(FASHION_MNIST, folder=folder, download=download)


def _read(source: Source, *, folder: str | None, download: bool) -> RawData:
    candidates = _candidates(source, folder)
    complete = [candidate for candidate in candidates if not _missing(candidate)]
    if not complete and download:
        for name in _missing(candidates[0]):
            file = f"{name}.gz"
            download_file(source.url + file, path=candidates[0] / file, sha256=source.sha256[file])
        complete = candidates[:1]
    if not complete:
        raise _nothing_found(source, folder=folder, candidates=candidates)
    x, y = _pair(complete[0], TRAIN, num_classes=len(source.class_names))
    test = _pair(complete[0], TEST, num_classes=len(source.class_names))
    if x.shape[1:] != test[0].shape[1:]:
        sizes = f"{x.shape[2]}x{x.shape[3]} for training, {test[0].shape[2]}x{test[0].shape[3]} for the test"
        raise ConfigError("data.folder", complete[0], rule=f"the images differ in size: {sizes}")
    return RawData(x, y, class_names=source.class_names, test=test)


def _candidates(source: Source, folder: str | None) -> list[Path]:
    if folder is not None:
        return [Path(folder).expanduser()]
    return [cache_folder() / source.name, *([source.system_folder] if source.system_folder else [])]


def _missing(folder: Path) -> list[str]:
    return [name for name in (*TRAIN, *TEST) if _present(folder, name) is None]


def _present(folder: Path, name: str) -> Path | None:
    unpacked, packed = folder / name, folder / f"{name}.gz"
    return next((path for path in (unpacked, packed) if path.is_file()), None)


def _nothing_found(source: Source, *, folder: str | None, candidates: list[Path]) -> ConfigError:
    missing = _missing(candidates[0])
    places = " or ".join(str(candidate) for candidate in candidates)
    apt = f"run apt-get install {source.apt_package}, or " if source.apt_package else ""
    return ConfigError(
        "data.folder",
        folder,
        rule=f"{source.name} needs {', '.join(missing)} (packed as .gz or not), looked for in {places}",
        fix=f"{apt}set data.download=true",
    )


def _pair(folder: Path, names: tuple[str, str], *, num_classes: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    image_path, label_path = (_present(folder, name) or folder / name for name in names)
    images = read_images(image_path)
    labels = read_labels(label_path, num_classes=num_classes)
    if len(images) != len(labels):
        rule = f"holds {len(labels)} labels for the {len(images)} images of {image_path.name}"
        raise ConfigError("data.folder", label_path, rule=rule, fix="replace both files")
    return images, labels
