"""The cells of an evaluation's tables: accuracy, loss and calibration error."""

from collections.abc import Mapping
from typing import Any

from cnn_jax.report.format import loss, loss_estimate, percent, percent_estimate

Record = Mapping[str, Any]

SCORES = ("accuracy", "loss", "calibration error")


def which_images(record: Record) -> str:
    """Which images are scored, in front of a score: `test` or `held-out`."""
    return str(record["images"]).removesuffix(" images")


def scores(quality: Record) -> list[str]:
    """Those of one model or ensemble."""
    return [percent(quality["accuracy"]), loss(quality["loss"]), percent(quality["calibration_error"])]


def mean_scores(run: Record) -> list[str]:
    """The means over the seeds of a run."""
    mean = run["mean"]
    return [
        percent_estimate(mean["accuracy"]),
        loss_estimate(mean["loss"]),
        percent_estimate(mean["calibration_error"]),
    ]
