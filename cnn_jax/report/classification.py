"""What a classifier gets right, class by class: confusion matrix, precision, recall, F1 and top-5 accuracy.

The definitions are those of scikit-learn's `classification_report` for all classes with `zero_division=0`: a score
whose denominator is 0 is 0, and it counts in the averages.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class ClassificationReport:
    """The scores of each class: float64 [classes]. support: int64 [classes], the images of each class."""

    precision: np.ndarray
    recall: np.ndarray
    f1: np.ndarray
    support: np.ndarray
    accuracy: float

    @property
    def macro(self) -> tuple[float, float, float]:
        """The means of precision, recall and F1 over the classes."""
        return self._averages(None)

    @property
    def weighted(self) -> tuple[float, float, float]:
        """Their means, weighted by support. The weighted recall is the accuracy."""
        return self._averages(self.support)

    def _averages(self, weights: np.ndarray | None) -> tuple[float, float, float]:
        precision, recall, f1 = (
            float(np.average(scores, weights=weights)) for scores in (self.precision, self.recall, self.f1)
        )
        return precision, recall, f1


def confusion_matrix(labels: np.ndarray, predictions: np.ndarray, classes: int) -> np.ndarray:
    """Numbers of images by label (rows) and predicted class (columns): int64 [classes, classes].

    labels, predictions: integers [N], from 0 to classes - 1.
    """
    cells = labels.astype(np.int64) * classes + predictions
    return np.bincount(cells, minlength=classes**2).reshape(classes, classes)


def classification_report(confusion: np.ndarray) -> ClassificationReport:
    """The scores that follow from a confusion matrix of one or more images: integers [classes, classes]."""
    correct, support, predicted = confusion.diagonal(), confusion.sum(axis=1), confusion.sum(axis=0)
    return ClassificationReport(
        precision=_share(correct, predicted),
        recall=_share(correct, support),
        f1=_share(2 * correct, support + predicted),
        support=support,
        accuracy=float(correct.sum() / support.sum()),
    )


def top_k_accuracy(logits: np.ndarray, labels: np.ndarray, k: int) -> float:
    """The share of images whose class is among the k with the largest logits. Of equal logits, the first class counts.

    logits: float [N, classes]. labels: int [N].
    """
    own = np.take_along_axis(logits, labels[:, None], axis=1)
    is_before = np.arange(logits.shape[1]) < labels[:, None]
    rank = ((logits > own) | ((logits == own) & is_before)).sum(axis=1)
    return float((rank < k).mean())


def _share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.where(whole > 0, part / np.maximum(whole, 1), 0.0)
