"""Part 4, why neighbouring pixels matter: a CNN and a dense network on images and on images with permuted pixels."""

import dataclasses
from collections.abc import Mapping
from typing import Any, TypeVar

import jax
import numpy as np
from matplotlib.axes import Axes

from cnn_jax import program
from cnn_jax.data import tasks
from cnn_jax.data.dataset import Dataset
from cnn_jax.experiment import Experiment
from cnn_jax.report import figures, pictures, statistics
from cnn_jax.report.format import percent
from cnn_jax.report.page import Figure, Section, Table
from cnn_jax.studies.lesson.formats import Record, error_bars, interval_remarks, percent_with_interval
from cnn_jax.studies.lesson.short_run import compiled, train_and_score
from cnn_jax.training.compiled import Inference, Training

ARRAYS: Mapping[str, str] = {
    "images": "uint8 [4, H, W, C]: test images",
    "permuted_images": "uint8 [4, H, W, C]: the same images with permuted pixels",
    "accuracies": "float64 [2, 2, seeds]: test accuracy of the CNN and the dense network, on original and permuted "
    "images",
    "means": "float64 [2, 2]: means over the seeds",
    "intervals": "float64 [2, 2, 2]: the two ends of the mean's 95 % interval, by Student's t where that is possible",
    "leads": "float64 [2]: accuracy of the CNN minus that of the dense network, on original and permuted images",
    "lead_intervals": "float64 [2, 2]: the two ends of the 95 % interval of these differences, paired by seed",
}

TRAIN_EXAMPLES, TEST_EXAMPLES, EPOCHS, SEEDS = 3_000, 2_000, 5, 5
# Small models with large steps, so that twenty trainings take seconds. They were chosen on held-out training images.
_STEP: Mapping[str, Any] = {"batch_size": 32, "learning_rate": 2e-3}
_MODELS: Mapping[str, Mapping[str, Any]] = {
    "CNN": {"model": "cnn", "widths": (8, 16, 32), **_STEP},
    "dense network": {"model": "dense", "widths": (128,), **_STEP},
}
_PIXELS = ("original pixels", "permuted pixels")

_Program = TypeVar("_Program", Training, Inference)


def compute(dataset: Dataset, *, seeds: int = SEEDS) -> dict[str, Any]:
    """Trains both models with several seeds on the first images of a dataset, original and permuted.

    All seeds have the same training images and the same test images.
    """
    accuracies = np.stack([_accuracies(settings, dataset, seeds) for settings in _MODELS.values()])
    leads = accuracies[0] - accuracies[1]
    shown = dataset.test.images[:4]
    return {
        "dataset": dataset.spec.name,
        "train_examples": min(TRAIN_EXAMPLES, len(dataset.train)),
        "test_examples": min(TEST_EXAMPLES, len(dataset.test)),
        "epochs": EPOCHS,
        "seeds": seeds,
        "images": shown,
        "permuted_images": tasks.permuted(shown),
        "accuracies": accuracies,
        "means": accuracies.mean(axis=-1),
        "intervals": statistics.intervals(accuracies, statistics.SHARE),
        "leads": leads.mean(axis=-1),
        "lead_intervals": statistics.intervals(leads),
    }


def _accuracies(settings: Mapping[str, Any], dataset: Dataset, seeds: int) -> np.ndarray:
    """Test accuracies [2, seeds] of a model, on original and on permuted images."""
    experiment = Experiment().vary(epochs=EPOCHS, **settings)
    original = compiled(experiment, dataset.spec, dataset.train[:TRAIN_EXAMPLES], dataset.test[:TEST_EXAMPLES])
    permuted = _permuted(original[0]), _permuted(original[1])
    scores = [[train_and_score(*programs, seed)[2] for seed in range(seeds)] for programs in (original, permuted)]
    return np.array([[score.accuracy for score in row] for row in scores])


def _permuted(program: _Program) -> _Program:
    """The same compiled program with permuted images, as `--task=permuted` permutes them in every step."""
    images = tasks.permuted(np.asarray(program.images))
    return dataclasses.replace(program, images=jax.device_put(images, program.images.sharding))


def section(record: Record) -> Section:
    """The part as a section of the page. record: from `compute`."""
    original, permuted = (
        f"{abs(lead):.1f} points {'better' if lead > 0 else 'worse'}" for lead in 100 * record["leads"]
    )
    return Section(
        "Why neighbouring pixels matter",
        [
            "A convolution looks at a pixel together with its neighbours, and uses the same filter everywhere. This "
            "helps only where neighbouring pixels belong together. To show this, all pixels of an image are moved to "
            "other positions, which are random but the same for all images. No information is lost, because the pixels "
            "could be moved back. But pixels that were neighbours are now far apart.",
            _examples(record),
            f"Both models were trained for this page on {record['train_examples']:,} images of {record['dataset']}, "
            f"for {record['epochs']} epochs and with {record['seeds']} seeds, and scored on "
            f"{record['test_examples']:,} test images. For a full run: {program.command()} "
            "--experiment=permuted_pixels, and the same with --model=dense.",
            _diagram(record),
            _table(record),
            *interval_remarks(record["accuracies"]),
            f"On the original images the CNN is {original} than the dense network; on the permuted images it is "
            f"{permuted}. What the CNN loses by the permutation is what it gains from neighbouring pixels.",
        ],
    )


def _examples(record: Record) -> Figure:
    shown = [*record["images"], *record["permuted_images"]]
    alt = "Test images, and below them the same images with permuted pixels: scattered dots without a shape."
    drawing = pictures.gallery(alt, shown, [""] * len(shown), columns=len(record["images"]), cell=(1.4, 1.4))
    return Figure(
        drawing,
        "Above: test images. Below: the same images with permuted pixels. A dense network connects every pixel with "
        "every unit, so the order of the pixels makes no difference to it.",
    )


def _diagram(record: Record) -> Figure:
    def paint(axes: Axes) -> None:
        for index, name in enumerate(_MODELS):
            positions = np.arange(2) + (index - 0.5) * 0.1
            means, look = record["means"][index], figures.line_style(index)
            bars = error_bars(means, record["intervals"][index])
            axes.errorbar(positions, 100 * means, bars, markersize=8, capsize=4, label=name, **look)
        axes.set_xticks(range(2), _PIXELS)
        axes.set(xlim=(-0.4, 1.4), ylabel="test accuracy in %")
        axes.legend()

    accuracies = "; ".join(
        f"{name}: {percent(original, 1)} on original images, {percent(permuted, 1)} on permuted ones"
        for name, (original, permuted) in zip(_MODELS, record["means"], strict=True)
    )
    drawing = figures.draw(f"Test accuracies. {accuracies}.", paint, size=(6.0, 3.6))
    return Figure(drawing, "Mean test accuracy over the seeds, with 95 % confidence intervals (Student's t).")


def _table(record: Record) -> Table:
    names = [*_MODELS, "CNN minus dense network, paired by seed"]
    means = [*record["means"], record["leads"]]
    intervals = [*record["intervals"], record["lead_intervals"]]
    rows = [[name, *map(percent_with_interval, *pair)] for name, *pair in zip(names, means, intervals, strict=True)]
    return Table("Test accuracy in %: mean and 95 % confidence interval", ["", *_PIXELS], rows)
