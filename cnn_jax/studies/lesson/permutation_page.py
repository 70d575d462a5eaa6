"""Part 4 of the lesson's page: images, and the same with their pixels permuted."""

from collections.abc import Mapping
from typing import Any

from markupsafe import Markup
from matplotlib.axes import Axes

from cnn_jax.report import figures, pictures
from cnn_jax.report.page import Figure, Section, Table

_LABELS = {"cnn": "CNN", "dense": "dense network"}
_SHOWN = ("as they are", "permuted")


def section(record: Mapping[str, Any]) -> Section:
    """What the part says and draws of its record."""
    blocks: list[str | Table | Figure] = [
        "A convolution looks at a pixel's neighbours, and with the same filter everywhere. That helps only where "
        "neighbours belong together. To see it, all pixels of all images are moved in one and the same way, at random: "
        "nothing is lost, and the order could be undone, but what was near is now apart.",
        Figure(
            _examples(record),
            "Above, test images; below, the same images with their pixels permuted. A dense network connects every "
            "pixel with every unit and cannot tell the two apart: to it, one order is as good as another.",
        ),
        _setting(record),
        Figure(_diagram(record), "Means over the seeds, with 95 % intervals of the means (Student's t)."),
        _table(record),
        _verdict(record),
    ]
    return Section("Only for data where near things belong together", blocks)


def _setting(record: Mapping[str, Any]) -> str:
    return (
        f"Both models were trained just now on {record['train_examples']:,} images of {record['dataset']}, "
        f"{record['epochs']} epochs, {record['seeds']} seeds each, and scored on {record['test_examples']:,} test "
        "images. For a full run: python run.py --experiment=permuted_pixels, and the same with --model=dense."
    )


def _examples(record: Mapping[str, Any]) -> Markup:
    both = [*record["images"], *record["permuted_images"]]
    paints = [lambda axes, pixels=pixels: pictures.image(axes, pixels.mean(axis=-1)) for pixels in both]
    alt = "Test images, and below them the same images permuted: scattered dots without a shape."
    return figures.panels(alt, paints, columns=len(record["images"]), cell=(1.4, 1.4))


def _diagram(record: Mapping[str, Any]) -> Markup:
    def paint(axes: Axes) -> None:
        for index, model in enumerate(record["models"]):
            places = [place + (index - 0.5) * 0.1 for place in range(2)]
            axes.errorbar(
                places,
                100 * record["means"][index],
                yerr=100 * record["margins"][index],
                marker=figures.MARKERS[index],
                color=figures.COLOURS[index],
                markersize=8,
                capsize=4,
                label=_LABELS[model],
            )
        axes.set_xticks(range(2), [f"pixels {shown}" for shown in _SHOWN])
        axes.set_xlim(-0.4, 1.4)
        axes.set_ylabel("test accuracy, %")
        axes.legend()

    said = "; ".join(
        f"{_LABELS[model]}: {means[0]:.1%} on images as they are, {means[1]:.1%} on permuted ones"
        for model, means in zip(record["models"], record["means"], strict=True)
    )
    return figures.draw(f"Test accuracies. {said}.", paint, size=(6.0, 3.6))


def _table(record: Mapping[str, Any]) -> Table:
    def cell(mean: float, margin: float) -> str:
        return f"{100 * mean:.1f} ± {100 * margin:.1f}"

    rows = [
        [_LABELS[model], *(cell(*pair) for pair in zip(means, margins, strict=True))]
        for model, means, margins in zip(record["models"], record["means"], record["margins"], strict=True)
    ]
    leads = zip(record["leads"], record["lead_margins"], strict=True)
    rows.append(["the CNN's lead, by seed", *(cell(*pair) for pair in leads)])
    return Table("Test accuracy in %, mean and 95 % interval", ["", *(f"pixels {shown}" for shown in _SHOWN)], rows)


def _verdict(record: Mapping[str, Any]) -> str:
    before, after = 100 * record["leads"]
    return (
        f"The CNN's lead over the dense network goes from {before:.1f} points to {after:.1f} when the pixels are "
        "permuted. What it had gained came from the neighbourhood of pixels, not from being a larger or a better model."
    )
