"""Occlusion finds the pixels that decide an answer."""

import numpy as np

from cnn_jax.studies.predict.saliency import occlusion, patch_side


def two_places(images: np.ndarray) -> np.ndarray:
    """Logits of two classes: the ink in the top left quarter, and the ink in the bottom right one."""
    ink = images[..., 0] / 255.0
    return np.stack([ink[:, :14, :14].mean((1, 2)), ink[:, 14:, 14:].mean((1, 2))], axis=-1)


PAPER = np.zeros(1, np.uint8)


def test_map_is_positive_where_the_class_is_and_negative_where_the_other_is() -> None:
    image = np.zeros((28, 28, 1), np.uint8)
    image[4:8, 4:8] = image[20:24, 20:24] = 200
    first, second = (occlusion(two_places, image, label, blank=PAPER) for label in (0, 1))
    assert first.shape == (28, 28)
    assert first.dtype == np.float32
    assert first[5, 5] > 0 > first[21, 21]
    assert second[5, 5] < 0 < second[21, 21]
    assert not first[:14, 15:].any()  # no ink, nothing to blank


def test_values_are_falls_of_the_log_probability() -> None:
    image = np.zeros((28, 28, 1), np.uint8)
    image[4, 4] = 255
    map_ = occlusion(two_places, image, 0, blank=PAPER, positions=28)  # patches of 3 x 3, one at each pixel
    before, after = np.log(1 / (1 + np.exp(-1 / 196))), np.log(0.5)
    assert np.isclose(map_[4, 4], before - after)
    assert np.count_nonzero(map_) == 5 * 5


def test_patches_of_a_large_colour_picture_are_as_many_and_cover_it() -> None:
    seen = []

    def infer(images: np.ndarray) -> np.ndarray:
        seen.append(images)
        return np.zeros((len(images), 2), np.float32)

    colour = np.array([10, 20, 30], np.uint8)
    image = np.full((140, 70, 3), 200, np.uint8)
    assert occlusion(infer, image, 0, blank=colour).shape == (140, 70)
    [images] = seen
    is_blank = (images[1:] == colour).all(axis=-1)
    assert len(images) == 1 + 14 * 7
    assert is_blank.any(axis=0).all()
    assert is_blank.sum(axis=(1, 2)).max() == patch_side(image.shape) ** 2 == 21**2
