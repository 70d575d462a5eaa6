"""The parts of an image that decide a model's answer: a patch is blanked at many positions, and scored again."""

from collections.abc import Callable

import numpy as np

from cnn_jax.training.metrics import log_softmax

Infer = Callable[[np.ndarray], np.ndarray]  # uint8 images [N, H, W, C] -> logits [N, classes]


def occlusion(infer: Infer, images: np.ndarray, classes: np.ndarray, *, patch: int = 5, stride: int = 2) -> np.ndarray:
    """By how much the log-probability of a class falls where a patch around a pixel is blanked: float32 [N, H, W].

    images: uint8 [N, H, W, C]. classes: int [N], the class of each image whose probability is measured. Patches are
    `stride` pixels apart, and a pixel has the mean over the patches that cover it. Above 0 the pixel supports the
    class, below 0 it speaks against it. A blank pixel is 0, as paper is in MNIST. Zeiler and Fergus, "Visualizing and
    Understanding Convolutional Networks" (2014), section 4.2.
    """
    count = len(images)
    masks = _patches(images.shape[1], images.shape[2], patch, stride)
    occluded = np.where(masks[None, ..., None], np.uint8(0), images[:, None])
    logits = infer(np.concatenate([images, occluded.reshape(-1, *images.shape[1:])]))
    log_probabilities = log_softmax(logits)
    before = log_probabilities[np.arange(count), classes]
    after = log_probabilities[count:].reshape(count, len(masks), -1)[np.arange(count), :, classes]
    falls = np.tensordot(before[:, None] - after, masks.astype(np.float64), axes=1)
    return (falls / masks.sum(axis=0)).astype(np.float32)


def _patches(height: int, width: int, patch: int, stride: int) -> np.ndarray:
    """Masks of square patches all over the image, cut at its edges: bool [patches, H, W]. They cover every pixel."""
    near_row, near_column = (
        np.abs(np.arange(0, n, stride)[:, None] - np.arange(n)) <= patch // 2 for n in (height, width)
    )
    return (near_row[:, None, :, None] & near_column[None, :, None, :]).reshape(-1, height, width)
