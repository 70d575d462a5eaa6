"""What a model's answer hangs on: images with a patch blanked, place by place, scored again."""

from collections.abc import Callable

import numpy as np
from scipy.special import log_softmax

Infer = Callable[[np.ndarray], np.ndarray]  # uint8 images [N, H, W, C] -> logits [N, classes]


def occlusion(infer: Infer, images: np.ndarray, classes: np.ndarray, *, patch: int = 5, stride: int = 2) -> np.ndarray:
    """By how much the log-probability of a class falls where a patch around a pixel is blanked: float32 [N, H, W].

    images: uint8 [N, H, W, C]. classes: int [N], whose probability. The mean over the patches, `stride` pixels apart,
    that cover a pixel; above 0 the pixel speaks for the class, below against it. Blank is 0, as MNIST's paper.
    Zeiler and Fergus, "Visualizing and Understanding Convolutional Networks" (2014), section 4.2.
    """
    count = len(images)
    masks = _patches(images.shape[1], images.shape[2], patch, stride)
    occluded = np.where(masks[None, ..., None], np.uint8(0), images[:, None])
    logits = infer(np.concatenate([images, occluded.reshape(-1, *images.shape[1:])]))
    known = log_softmax(logits.astype(np.float64), axis=-1)
    before = known[np.arange(count), classes]
    after = known[count:].reshape(count, len(masks), -1)[np.arange(count), :, classes]
    falls = np.tensordot(before[:, None] - after, masks.astype(np.float64), axes=1)
    return (falls / masks.sum(axis=0)).astype(np.float32)


def _patches(height: int, width: int, patch: int, stride: int) -> np.ndarray:
    """Square patches whose centres go over the image, cut at its edges: bool [patches, H, W]; each pixel is in one."""
    near_row, near_column = (
        np.abs(np.arange(0, n, stride)[:, None] - np.arange(n)) <= patch // 2 for n in (height, width)
    )
    return (near_row[:, None, :, None] & near_column[None, :, None, :]).reshape(-1, height, width)
