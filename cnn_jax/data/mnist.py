"""MNIST and two datasets of the same form: 28 x 28 grey images of ten classes, 60,000 to train on and 10,000 to test.

Addresses, sizes and hashes are those that tensorflow_datasets registers; a test compares them.
"""

import dataclasses
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cnn_jax.data import idx, mnist_files, originals
from cnn_jax.data.dataset import Spec, Split
from cnn_jax.data.source import Normalize, Original, Source, Warn
from cnn_jax.data.tfds_order import ORDER, tfds_order
from cnn_jax.files import machine_errors, require_writable

_FILENAMES = (
    "train-images-idx3-ubyte.gz",
    "train-labels-idx1-ubyte.gz",
    "t10k-images-idx3-ubyte.gz",
    "t10k-labels-idx1-ubyte.gz",
)


@dataclass(frozen=True)
class MnistSource(Source):
    """A dataset of tensorflow_datasets in four IDX files. `spec.name`, `version` and the order are those of tfds.

    originals: training images, training labels, test images, test labels.
    """

    def prepared_folder(self, folder: Path) -> Path:
        """Where tfds keeps the prepared dataset below the data folder."""
        return folder / self.spec.name / self.version

    def check(self, manual_dir: Path) -> None:
        mnist_files.read(manual_dir, self.originals, self._shapes)

    def original_index(self) -> np.ndarray:
        return tfds_order("test", self.spec.test_examples)

    def produce(self, folder: Path, manual_dir: Path | None, warn: Warn) -> tuple[Split, Split]:
        from cnn_jax.data import array_records  # loads tensorflow_datasets, which a start from the cache does not need

        prepared = self.prepared_folder(folder)
        if not os.path.isdir(prepared):
            require_writable(folder, flag="data_dir")
            with machine_errors(folder):
                train, test = self._read(folder, manual_dir, warn)
                warn(f"{self.spec.name}: preparing the data in {folder}. This is done once and takes half a minute")
                array_records.write(self, prepared, train, test)
        return array_records.read(self, prepared)

    def _read(self, folder: Path, manual_dir: Path | None, warn: Warn) -> tuple[Split, Split]:
        """Both splits in the order of the originals."""
        if manual_dir:
            arrays = mnist_files.read(manual_dir, self.originals, self._shapes)
        else:
            # Our folder is inside tfds's own data folder: what tfds has downloaded is not downloaded again.
            paths = originals.gather(self.spec.name, self.originals, folder, folder.parent / "downloads", warn)
            arrays = [idx.read(path, shape) for path, shape in zip(paths, self._shapes, strict=True)]
        return _split(*arrays[:2]), _split(*arrays[2:])

    @property
    def _shapes(self) -> list[tuple[int, ...]]:
        """The shapes of the arrays in the originals."""
        height_and_width = self.spec.image_shape[:2]
        examples = (self.spec.train_examples, self.spec.test_examples)
        return [shape for n in examples for shape in ((n, *height_and_width), (n,))]


def _split(images: np.ndarray, labels: np.ndarray) -> Split:
    return Split(images[..., None], labels.astype(np.int32))


def _source(
    name: str,
    description: str,
    classes: str,
    address: str,
    sizes_and_hashes: Sequence[tuple[int, str]],
    contents: Sequence[str | None] = (None,) * 4,
) -> MnistSource:
    """sizes_and_hashes: bytes and SHA-256 of each of `_FILENAMES`. contents: SHA-256 of what is packed in them."""
    description += f"; {ORDER}"
    spec = Spec(name, description, (28, 28, 1), tuple(classes.split(", ")), 60_000, 10_000, mnist_form=True)
    known = zip(_FILENAMES, sizes_and_hashes, contents, strict=True)
    files = (Original(address + filename, *size_and_hash, content) for filename, size_and_hash, content in known)
    return MnistSource(spec, "3.0.1", tuple(files))


MNIST = _source(
    "mnist",
    "handwritten digits, 28 x 28 grey",
    "0, 1, 2, 3, 4, 5, 6, 7, 8, 9",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
    [
        (9_912_422, "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609"),
        (28_881, "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"),
        (1_648_877, "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"),
        (4_542, "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"),
    ],
    [
        "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    ],
)

FASHION_MNIST = _source(
    "fashion_mnist",
    "articles of clothing, 28 x 28 grey",
    "T-shirt/top, Trouser, Pullover, Dress, Coat, Sandal, Shirt, Sneaker, Bag, Ankle boot",
    "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    [
        (26_421_880, "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84"),
        (29_515, "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845"),
        (4_422_102, "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073"),
        (5_148, "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5"),
    ],
)

KMNIST = _source(
    "kmnist",
    "handwritten cursive Japanese characters (Kuzushiji), 28 x 28 grey",
    "o, ki, su, tsu, na, ha, ma, ya, re, wo",
    "http://codh.rois.ac.jp/kmnist/dataset/kmnist/",
    [
        (18_165_135, "51467d22d8cc72929e2a028a0428f2086b092bb31cfb79c69cc0a90ce135fde4"),
        (29_497, "e38f9ebcd0f3ebcdec7fc8eabdcdaef93bb0df8ea12bee65224341c8183d8e17"),
        (3_041_136, "edd7a857845ad6bb1d0ba43fe7e794d164fe2dce499a1694695a792adfac43c5"),
        (5_120, "20bb9a0ef54c7db3efc55a92eef5582c109615df22683c380526788f98e42a1c"),
    ],
)


def mnist(normalize: Normalize = "unit") -> MnistSource:
    """Handwritten digits."""
    return dataclasses.replace(MNIST, normalize=normalize)


def fashion_mnist(normalize: Normalize = "unit") -> MnistSource:
    """Articles of clothing."""
    return dataclasses.replace(FASHION_MNIST, normalize=normalize)


def kmnist(normalize: Normalize = "unit") -> MnistSource:
    """Handwritten Japanese characters."""
    return dataclasses.replace(KMNIST, normalize=normalize)
