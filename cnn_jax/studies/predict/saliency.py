"""The parts of an image that decide a model's answer: a patch is blanked at many positions, and scored again."""

from collections.abc import Callable

import numpy as np

from cnn_jax.training.metrics import log_softmax

Infer = Callable[[np.ndarray], np.ndarray]  # uint8 images [N, H, W, C] -> logits [N, classes]


def occlusion(infer: Infer, image: np.ndarray, label: int, *, blank: np.ndarray, positions: int = 14) -> np.ndarray:
    """By how much the log-probability of a class falls where a patch around a pixel is blanked: float32 [H, W].

    image: uint8 [H, W, C]. label: the class whose probability is measured. blank: the colour of a blank pixel, uint8
    [C]. positions: of the patch along the image's longer side; a pixel has the mean over the patches that cover it.
    Above 0 the pixel supports the class, below 0 it speaks against it. Zeiler and Fergus, "Visualizing and
    Understanding Convolutional Networks" (2014), section 4.2.
    """
    masks = _patches(image.shape[:2], positions)
    occluded = np.where(masks[..., None], blank, image)
    logits = log_softmax(infer(np.concatenate([image[None], occluded])))[:, label]
    falls = np.tensordot(logits[0] - logits[1:], masks.astype(np.float64), axes=1)
    return (falls / masks.sum(axis=0)).astype(np.float32)


def patch_side(shape: tuple[int, ...], positions: int = 14) -> int:
    """The side of the square patch in pixels: two steps and one pixel, so that patches overlap. shape: of the image."""
    return 2 * _step(shape, positions) + 1


def _step(shape: tuple[int, ...], positions: int) -> int:
    return -(-max(shape[:2]) // positions)


def _patches(shape: tuple[int, ...], positions: int) -> np.ndarray:
    """Masks of square patches all over the image, cut at its edges: bool [patches, H, W]. They cover every pixel."""
    step = _step(shape, positions)
    near_row, near_column = (np.abs(np.arange(0, n, step)[:, None] - np.arange(n)) <= step for n in shape)
    return (near_row[:, None, :, None] & near_column[None, :, None, :]).reshape(-1, *shape)
