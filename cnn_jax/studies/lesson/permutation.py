"""Part 4, why neighbouring pixels matter: a CNN and a dense network on images and on images with permuted pixels."""

import dataclasses
from collections.abc import Mapping
from typing import Any, TypeVar

import jax
import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes

from cnn_jax.config import Config
from cnn_jax.data import tasks
from cnn_jax.data.dataset import Dataset
from cnn_jax.report import figures, pictures, statistics
from cnn_jax.report.format import percent
from cnn_jax.report.page import Block, Figure, Section, Table
from cnn_jax.studies.lesson.formats import drawable, percent_with_margin
from cnn_jax.studies.lesson.short_run import compiled
from cnn_jax.training.compiled import Inference, Training
from cnn_jax.training.loop import train

ARRAYS: Mapping[str, str] = {
    "images": "uint8 [4, H, W, C]: test images",
    "permuted_images": "uint8 [4, H, W, C]: the same images with permuted pixels",
    "accuracies": "float64 [2, 2, seeds]: test accuracy of the CNN and the dense network, on original and permuted "
    "images",
    "means": "float64 [2, 2]: means over the seeds",
    "margins": "float64 [2, 2]: half the width of the mean's 95 % interval, by Student's t",
    "leads": "float64 [2]: accuracy of the CNN minus that of the dense network, on original and permuted images",
    "lead_margins": "float64 [2]: half the width of the 95 % interval of these differences, paired by seed",
}

TRAIN_EXAMPLES, TEST_EXAMPLES, EPOCHS, SEEDS = 3_000, 2_000, 5, 5
# Small models with large steps, so that twenty trainings take seconds. They were chosen on held-out training images.
_SETTINGS: Mapping[str, Mapping[str, Any]] = {"cnn": {"widths": (8, 16, 32)}, "dense": {"widths": (128,)}}
_STEP: Mapping[str, Any] = {"batch_size": 32, "learning_rate": 2e-3}
_LABELS = {"cnn": "CNN", "dense": "dense network"}
_PIXELS = ("original pixels", "permuted pixels")

Record = Mapping[str, Any]
_Program = TypeVar("_Program", Training, Inference)


def compute(dataset: Dataset, *, seeds: int = SEEDS) -> dict[str, Any]:
    """Trains both models with several seeds on the first images of a dataset, original and permuted.

    All seeds have the same training images and the same test images.
    """
    accuracies = np.stack([_accuracies(model, dataset, seeds) for model in _SETTINGS])
    leads = accuracies[0] - accuracies[1]
    shown = dataset.test.images[:4]
    return {
        "dataset": dataset.spec.name,
        "models": tuple(_SETTINGS),
        "train_examples": min(TRAIN_EXAMPLES, len(dataset.train)),
        "test_examples": min(TEST_EXAMPLES, len(dataset.test)),
        "epochs": EPOCHS,
        "seeds": seeds,
        "images": shown,
        "permuted_images": tasks.permuted(shown),
        "accuracies": accuracies,
        "means": accuracies.mean(axis=-1),
        "margins": statistics.margins(accuracies),
        "leads": leads.mean(axis=-1),
        "lead_margins": statistics.margins(leads),
    }


def _accuracies(model: str, dataset: Dataset, seeds: int) -> np.ndarray:
    """Test accuracies [2, seeds], on original and on permuted images."""
    config = Config(dataset=dataset.spec.name, model=model, epochs=EPOCHS, **_SETTINGS[model], **_STEP)
    splits = dataset.train[:TRAIN_EXAMPLES], dataset.test[:TEST_EXAMPLES]
    training, test = compiled(config, dataset.spec, *splits)

    def accuracy(training: Training, test: Inference, seed: int) -> float:
        last, _ = train(training, seed)
        return test.score(last.state.params).accuracy

    pairs = (training, test), (_permuted(training), _permuted(test))
    return np.array([[accuracy(*pair, seed) for seed in range(seeds)] for pair in pairs])


def _permuted(program: _Program) -> _Program:
    """The same compiled program with permuted images, as `--view=permuted` permutes them in every step."""
    images = tasks.permuted(np.asarray(program.images))
    return dataclasses.replace(program, images=jax.device_put(images, program.images.sharding))


def section(record: Record) -> Section:
    """The part as a section of the page. record: from `compute`."""
    blocks: list[Block] = [
        "A convolution looks at a pixel together with its neighbours, and uses the same filter everywhere. This helps "
        "only where neighbouring pixels belong together. To show this, all pixels of an image are moved to other "
        "positions, which are random but the same for all images. No information is lost, because the pixels could be "
        "moved back. But pixels that were neighbours are now far apart.",
        Figure(
            _examples(record),
            "Above: test images. Below: the same images with permuted pixels. A dense network connects every pixel "
            "with every unit, so the order of the pixels makes no difference to it.",
        ),
        f"Both models were trained for this page on {record['train_examples']:,} images of {record['dataset']}, for "
        f"{record['epochs']} epochs and with {record['seeds']} seeds, and scored on {record['test_examples']:,} test "
        "images. For a full run: python run.py --experiment=permuted_pixels, and the same with --model=dense.",
        Figure(
            _diagram(record),
            "Mean test accuracy over the seeds, with 95 % confidence intervals of the means (Student's t).",
        ),
        _table(record),
        _verdict(record),
    ]
    return Section("Why neighbouring pixels matter", blocks)


def _examples(record: Record) -> Markup:
    shown = [*record["images"], *record["permuted_images"]]
    paints = [lambda axes, pixels=pixels: pictures.image(axes, drawable(pixels)) for pixels in shown]
    alt = "Test images, and below them the same images with permuted pixels: scattered dots without a shape."
    return figures.panels(alt, paints, columns=len(record["images"]), cell=(1.4, 1.4))


def _diagram(record: Record) -> Markup:
    def paint(axes: Axes) -> None:
        for index, model in enumerate(record["models"]):
            axes.errorbar(
                [position + (index - 0.5) * 0.1 for position in range(2)],
                100 * record["means"][index],
                yerr=100 * record["margins"][index],
                marker=figures.MARKERS[index],
                color=figures.COLOURS[index],
                markersize=8,
                capsize=4,
                label=_LABELS[model],
            )
        axes.set_xticks(range(2), _PIXELS)
        axes.set_xlim(-0.4, 1.4)
        axes.set_ylabel("test accuracy in %")
        axes.legend()

    accuracies = "; ".join(
        f"{_LABELS[model]}: {percent(means[0], 1)} on original images, {percent(means[1], 1)} on permuted ones"
        for model, means in zip(record["models"], record["means"], strict=True)
    )
    return figures.draw(f"Test accuracies. {accuracies}.", paint, size=(6.0, 3.6))


def _table(record: Record) -> Table:
    names = [*(_LABELS[model] for model in record["models"]), "CNN minus dense network, paired by seed"]
    means = [*record["means"], record["leads"]]
    margins = [*record["margins"], record["lead_margins"]]
    rows = [[name, *map(percent_with_margin, *pair)] for name, *pair in zip(names, means, margins, strict=True)]
    return Table("Test accuracy in %: mean and 95 % confidence interval", ["", *_PIXELS], rows)


def _verdict(record: Record) -> str:
    original, permuted = (
        f"{abs(lead):.1f} points {'better' if lead > 0 else 'worse'}" for lead in 100 * record["leads"]
    )
    return (
        f"On the original images the CNN is {original} than the dense network; on the permuted images it is "
        f"{permuted}. What the CNN loses by the permutation is what it gains from neighbouring pixels."
    )
