"""CIFAR-10 and CIFAR-100: 32 x 32 photographs in colour, 50,000 to train on and 10,000 to test.

A. Krizhevsky, "Learning Multiple Layers of Features from Tiny Images" (2009). Read from the binary version: the Python
version is pickled, and this project unpickles nothing. Addresses, sizes and hashes are those that tensorflow_datasets
registers; a test compares them.
"""

import dataclasses
import functools
import math
import tarfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal

import numpy as np

from cnn_jax.data.dataset import Spec, Split
from cnn_jax.data.published import PublishedSource
from cnn_jax.data.source import Normalize, Original
from cnn_jax.data.tfds_order import ORDER
from cnn_jax.errors import InputError
from cnn_jax.settings import About

_FINE = """
apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel can castle
caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur dolphin elephant flatfish
forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion lizard lobster man maple_tree motorcycle
mountain mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck pine_tree plain plate poppy porcupine
possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk skyscraper snail snake spider squirrel streetcar
sunflower sweet_pepper table tank telephone television tiger tractor train trout tulip turtle wardrobe whale willow_tree
wolf woman worm
"""
_COARSE = """
aquatic_mammals fish flowers food_containers fruit_and_vegetables household_electrical_devices household_furniture
insects large_carnivores large_man-made_outdoor_things large_natural_outdoor_scenes large_omnivores_and_herbivores
medium_mammals non-insect_invertebrates people reptiles small_mammals trees vehicles_1 vehicles_2
"""


Labels = Annotated[Literal["fine", "coarse"], About("fine: 100 classes; coarse: 20 groups of five classes")]


def read(
    files: Sequence[Path], spec: Spec, *, train: Sequence[str], test: Sequence[str], label_bytes: int, label: int
) -> tuple[Split, Split]:
    """The splits in a CIFAR archive, in the order of its files. Nothing is unpacked to the disk.

    files: the archive. train, test: the files in it that make each split. A record is label bytes, then the red, the
    green and the blue pixels of an image; label: the label byte that is taken. Raises InputError.
    """
    record = label_bytes + math.prod(spec.image_shape)
    splits = ((train, spec.train_examples), (test, spec.test_examples))
    sizes = {name: examples // len(names) * record for names, examples in splits for name in names}
    contents = _members(files[0], sizes)

    def split(names: Sequence[str]) -> Split:
        records = np.frombuffer(b"".join(contents[name] for name in names), np.uint8).reshape(-1, record)
        height, width, channels = spec.image_shape
        images = records[:, label_bytes:].reshape(-1, channels, height, width).transpose(0, 2, 3, 1)
        return Split(np.ascontiguousarray(images), records[:, label].astype(np.int32))

    return split(train), split(test)


def _members(path: Path, sizes: Mapping[str, int]) -> dict[str, bytes]:
    """The content of files in an archive, by their names. sizes: in bytes. Raises InputError."""
    contents = {}
    try:
        with tarfile.open(path, "r|gz") as archive:
            for member in archive:
                if member.size == sizes.get(member.name) and (file := archive.extractfile(member)):
                    contents[member.name] = file.read()
    except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path}: not a readable .tar.gz file ({error}).") from error
    for name, size in sizes.items():
        if name not in contents:
            raise InputError(f"{path}: holds no file {name} of {size:,} bytes.")
    return contents


CIFAR10 = PublishedSource(
    Spec(
        "cifar10",
        f"photographs of animals and vehicles, 32 x 32 in colour; {ORDER}",
        (32, 32, 3),
        ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
        train_examples=50_000,
        test_examples=10_000,
    ),
    "3.0.2",
    (
        Original(
            "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
            170_052_171,
            "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
        ),
    ),
    read=functools.partial(
        read,
        train=[f"cifar-10-batches-bin/data_batch_{number}.bin" for number in range(1, 6)],
        test=["cifar-10-batches-bin/test_batch.bin"],
        label_bytes=1,
        label=0,
    ),
)


def cifar10(normalize: Normalize = "unit") -> PublishedSource:
    """CIFAR-10."""
    return dataclasses.replace(CIFAR10, normalize=normalize)


def cifar100(labels: Labels = "fine", normalize: Normalize = "unit") -> PublishedSource:
    """CIFAR-100 with its fine labels or its coarse ones."""
    classes = {"coarse": _COARSE, "fine": _FINE}  # in the order of the label bytes
    return PublishedSource(
        Spec(
            "cifar100",
            f"photographs of 100 kinds of things, 32 x 32 in colour; {ORDER}",
            (32, 32, 3),
            tuple(classes[labels].split()),
            train_examples=50_000,
            test_examples=10_000,
        ),
        f"3.0.2-{labels}",
        (
            Original(
                "https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz",
                168_513_733,
                "58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec",
            ),
        ),
        read=functools.partial(
            read,
            train=["cifar-100-binary/train.bin"],
            test=["cifar-100-binary/test.bin"],
            label_bytes=len(classes),
            label=list(classes).index(labels),
        ),
        normalize=normalize,
    )
