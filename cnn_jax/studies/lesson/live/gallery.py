"""The test images that the page carries, and which of them a network takes for what."""

import base64
from collections.abc import Sequence
from typing import Any

import numpy as np

from cnn_jax.data.dataset import Split
from cnn_jax.report.classification import confusion_matrix
from cnn_jax.training.metrics import log_softmax

OF_EACH_CLASS = 20  # images that every network is scored on again when the reader changes it
MOST_WRONG = 300  # misclassified images of a network, the largest loss first


def sample(labels: np.ndarray, classes: int) -> np.ndarray:
    """The indices of the first images of each class, in ascending order: int64 [up to 20 * classes]."""
    return np.sort(np.concatenate([np.flatnonzero(labels == label)[:OF_EACH_CLASS] for label in range(classes)]))


def compute(split: Split, logits: Sequence[np.ndarray], classes: int) -> dict[str, Any]:
    """The sample, the images that a network misclassifies, and each network's confusion matrix, as JSON.

    split: the test images, of one channel. logits: float [N, classes] of each network. `indices` are those of
    the images in the split; the first `sample` of them are the sample.
    """
    chosen = sample(split.labels, classes)
    wrong = [_most_wrong(each, split.labels) for each in logits]
    others = np.setdiff1d(np.concatenate([chosen[:0], *wrong]), chosen)
    indices = np.concatenate([chosen, others])
    answers = [each.argmax(axis=-1) for each in logits]
    return {
        "sample": len(chosen),
        "examples": len(split),
        "indices": indices.tolist(),
        "labels": split.labels[indices].tolist(),
        "images": base64.b64encode(packed(split.images[indices])).decode(),
        "answers": [each[indices].tolist() for each in answers],
        "confusion": [confusion_matrix(split.labels, each, classes).tolist() for each in answers],
    }


def _most_wrong(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    wrong = np.flatnonzero(logits.argmax(axis=-1) != labels)
    losses = -log_softmax(logits[wrong])[np.arange(len(wrong)), labels[wrong]]
    return wrong[np.argsort(-losses, kind="stable")][:MOST_WRONG]


def packed(images: np.ndarray) -> bytes:
    """uint8 images as runs: a number of zeros, a number of other bytes, and these bytes. Both numbers are below 256.

    Digits are mostly zeros: this takes a quarter of their bytes, and a few lines of a script read it.
    """
    return b"".join(_runs(image.tobytes()) for image in images)


def _runs(left: bytes) -> bytes:
    result = bytearray()
    while left:
        rest = left[:255].lstrip(b"\0")
        zeros = len(left[:255]) - len(rest)
        others = rest.partition(b"\0")[0]
        result += bytes((zeros, len(others))) + others
        left = left[zeros + len(others) :]
    return bytes(result)
