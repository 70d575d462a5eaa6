"""Occlusion finds the pixels that decide an answer."""

import numpy as np

from cnn_jax.studies.predict.saliency import occlusion


def two_places(images: np.ndarray) -> np.ndarray:
    """Logits of two classes: the ink in the top left quarter, and the ink in the bottom right one."""
    ink = images[..., 0] / 255.0
    return np.stack([ink[:, :14, :14].mean((1, 2)), ink[:, 14:, 14:].mean((1, 2))], axis=-1)


def test_map_is_positive_where_the_class_is_and_negative_where_the_other_is() -> None:
    images = np.zeros((2, 28, 28, 1), np.uint8)
    images[:, 4:8, 4:8] = images[:, 20:24, 20:24] = 200
    first, second = occlusion(two_places, images, np.array([0, 1]))
    assert first.shape == (28, 28)
    assert first.dtype == np.float32
    assert first[5, 5] > 0 > first[21, 21]
    assert second[5, 5] < 0 < second[21, 21]
    assert not first[:14, 15:].any()  # no ink, nothing to blank


def test_values_are_falls_of_the_log_probability() -> None:
    images = np.zeros((1, 28, 28, 1), np.uint8)
    images[0, 4, 4] = 255
    [map_] = occlusion(two_places, images, np.array([0]), patch=1, stride=1)
    before, after = np.log(1 / (1 + np.exp(-1 / 196))), np.log(0.5)
    assert np.isclose(map_[4, 4], before - after)
    assert np.count_nonzero(map_) == 1
