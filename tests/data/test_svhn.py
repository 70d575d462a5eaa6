"""SVHN's MATLAB files are read exactly, or refused in one line."""

from pathlib import Path

import numpy as np
import pytest
from scipy import io

from cnn_jax import data
from cnn_jax.errors import InputError
from tests.data import archives

PIXELS = np.zeros((32, 32, 3, archives.TRAIN), np.uint8)
LABELS = np.ones((archives.TRAIN, 1), np.uint8)


def read(folder: Path):
    source = archives.make("svhn_cropped", folder / "other").source
    return source.read([folder / "train_32x32.mat", folder / "other/test_32x32.mat"], source.spec)


def test_label_10_is_the_digit_0_and_the_last_axis_counts_the_images(tmp_path: Path) -> None:
    pixels, labels = PIXELS.copy(), LABELS.copy()
    labels[5], pixels[3, 4, :, 5] = 10, (7, 8, 9)  # row, column, colour, image
    io.savemat(tmp_path / "train_32x32.mat", {"X": pixels, "y": labels})
    train, _ = read(tmp_path)
    assert train.labels.tolist() == [1] * 5 + [0] + [1] * (archives.TRAIN - 6)
    assert train.images[5, 3, 4].tolist() == [7, 8, 9]
    assert data.spec("svhn_cropped").classes[0] == "0"


@pytest.mark.parametrize(
    "arrays",
    [
        {"X": PIXELS},
        {"X": PIXELS[..., 1:], "y": LABELS},
        {"X": PIXELS, "y": LABELS[:, 0]},
        {"X": PIXELS.astype(np.float64), "y": LABELS},
        {"X": PIXELS, "y": 0 * LABELS},
        {"X": PIXELS, "y": 11 * LABELS},
        {"X": PIXELS, "y": LABELS + 0.5},
        {"X": PIXELS, "y": np.full((archives.TRAIN, 1), "1", object)},
    ],
)
def test_other_arrays_are_refused_by_name(arrays: dict[str, np.ndarray], tmp_path: Path) -> None:
    io.savemat(tmp_path / "train_32x32.mat", arrays)
    with pytest.raises(InputError, match=f"{tmp_path}/train_32x32.mat: not a file of SVHN"):
        read(tmp_path)
