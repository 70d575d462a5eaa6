"""The lesson shows no accuracy above 100 %, in numbers or in error bars."""

import numpy as np

from cnn_jax.report.statistics import SHARE, intervals
from cnn_jax.studies.lesson.formats import error_bars, interval_remarks, percent_with_interval

ACCURACIES = np.array([[0.5, 0.52, 0.51], [0.99, 1.0, 1.0], [1.0, 1.0, 1.0]])
MEANS, INTERVALS = ACCURACIES.mean(axis=-1), intervals(ACCURACIES, SHARE)


def test_error_bars_stay_within_0_and_100_percent() -> None:
    below, above = error_bars(MEANS, INTERVALS)
    assert (100 * MEANS - below >= 0).all() and (100 * MEANS + above <= 100).all()
    assert below[1] > above[1] > 0 and below[0] == above[0] > 0


def test_accuracies_are_written_with_their_interval() -> None:
    written = [percent_with_interval(*pair) for pair in zip(MEANS, INTERVALS, strict=True)]
    assert written == ["51.0 ± 2.5", "99.7 (98.2 to 100.0)", "100.0 ± 0.0"]
    assert len(interval_remarks(ACCURACIES)) == 1
