"""The order is that of tensorflow_datasets, by which a test image is found in the original files."""

from pathlib import Path

import numpy as np
import pytest
from tensorflow_datasets.core import hashing

from cnn_jax import data
from cnn_jax.data import array_records, idx
from cnn_jax.data.tfds_order import tfds_order


@pytest.mark.parametrize("split", ["train", "test"])
def test_keys_are_sorted_by_tfds_own_hash(split: str) -> None:
    hasher = hashing.Hasher(split)
    assert tfds_order(split, 3000).tolist() == sorted(range(3000), key=hasher.hash_key)


def test_images_that_tfds_has_prepared_have_this_order(prepared) -> None:
    small, data_dir = prepared
    splits = array_records.read(small.source, small.source.prepared_folder(data_dir / "cnn_jax"))
    for name, split, original in zip(("train", "test"), splits, (small.train, small.test), strict=True):
        order = tfds_order(name, len(split))
        np.testing.assert_array_equal(split.images, original.images[order])
        np.testing.assert_array_equal(split.labels, original.labels[order])


def test_every_image_of_mnist_is_found_in_the_original_files(mnist_data_dir: Path, mnist_dir: Path) -> None:
    dataset, source = data.load("mnist", data_dir=mnist_data_dir), data.source("mnist")
    original_index = source.original_index()
    assert original_index is not None
    assert sorted(original_index) == list(range(10_000))
    images = idx.read(mnist_dir / "t10k-images-idx3-ubyte.gz", (10_000, 28, 28))
    labels = idx.read(mnist_dir / "t10k-labels-idx1-ubyte.gz", (10_000,))
    np.testing.assert_array_equal(dataset.test.images[..., 0], images[original_index])
    np.testing.assert_array_equal(dataset.test.labels, labels[original_index])
    assert dataset.test.labels[:4].tolist() == [2, 0, 4, 8]
    assert labels[:4].tolist() == [7, 2, 1, 0]


def test_sources_without_original_files_have_no_such_order() -> None:
    assert {name for name in ("glyphs", "mnist", "x_and_o") if data.source(name).original_index() is None} == {
        "glyphs",
        "x_and_o",
    }
