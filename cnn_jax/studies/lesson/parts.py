"""The parts of the lesson in the lecture's order, and what each is computed from."""

from collections.abc import Iterator, Mapping
from types import ModuleType
from typing import Any

from cnn_jax.data.dataset import Dataset
from cnn_jax.studies.lesson import features, functional, images, learned, permutation, pooling, results, templates
from cnn_jax.studies.lesson.short_run import Network

PARTS: Mapping[str, ModuleType] = {
    "images": images,
    "templates": templates,
    "learned": learned,
    "permutation": permutation,
    "functional": functional,
    "features": features,
    "pooling": pooling,
    "results": results,
}


def compute_parts(
    digits: Dataset, x_and_o: Dataset, network: Network, test_image: int
) -> Iterator[tuple[str, dict[str, Any]]]:
    """The name and the record of each part. digits: of ten classes. test_image: an index into its test images."""
    experiment, variables, runs = network
    image, label = digits.test.images[test_image], int(digits.test.labels[test_image])
    yield "images", images.compute()
    yield "templates", templates.compute(x_and_o)
    yield "learned", learned.compute(x_and_o)
    yield "permutation", permutation.compute(digits)
    yield "functional", functional.compute(digits)
    yield "features", features.compute(experiment, digits.spec, variables, image, label)
    yield "pooling", pooling.compute(digits.spec, image)
    yield "results", results.compute(runs, digits.test.images, digits.spec.classes)


def documented_arrays() -> dict[str, str]:
    """The documentation of the arrays of all parts, by their names in `lesson.npz`."""
    return {f"{name}/{array}": text for name, part in PARTS.items() for array, text in part.ARRAYS.items()}
