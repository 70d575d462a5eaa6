"""The parts of the lesson in the lecture's order: how each is computed and shown."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from cnn_jax.data.dataset import Dataset
from cnn_jax.report.page import Section
from cnn_jax.studies.lesson import (
    features,
    functional,
    images,
    learned,
    permutation,
    pooling,
    results,
    templates,
)
from cnn_jax.studies.lesson.short_run import Network


@dataclass(frozen=True)
class Sources:
    """What the parts are computed from. digits: of ten classes. test_image: an index into the test images."""

    digits: Dataset
    x_and_o: Dataset
    network: Network
    test_image: int


class Part(NamedTuple):
    """A part of the lesson. arrays: the documentation of the arrays in its record, by name."""

    compute: Callable[[Sources], dict[str, Any]]
    section: Callable[[Mapping[str, Any]], Section]
    arrays: Mapping[str, str]


def _features(sources: Sources) -> dict[str, Any]:
    config, params, _ = sources.network
    test, spec = sources.digits.test, sources.digits.spec
    return features.compute(config, spec, params, test.images[sources.test_image], int(test.labels[sources.test_image]))


def _pooling(sources: Sources) -> dict[str, Any]:
    return pooling.compute(sources.digits.spec, sources.digits.test.images[sources.test_image])


def _results(sources: Sources) -> dict[str, Any]:
    return results.compute(sources.network.runs, sources.digits.test.images, sources.digits.spec.classes)


PARTS: Mapping[str, Part] = {
    "images": Part(lambda _: images.compute(), images.section, images.ARRAYS),
    "templates": Part(lambda sources: templates.compute(sources.x_and_o), templates.section, templates.ARRAYS),
    "learned": Part(lambda sources: learned.compute(sources.x_and_o), learned.section, learned.ARRAYS),
    "permutation": Part(lambda sources: permutation.compute(sources.digits), permutation.section, permutation.ARRAYS),
    "functional": Part(lambda sources: functional.compute(sources.digits), functional.section, functional.ARRAYS),
    "features": Part(_features, features.section, features.ARRAYS),
    "pooling": Part(_pooling, pooling.section, pooling.ARRAYS),
    "results": Part(_results, results.section, results.ARRAYS),
}


def documented_arrays() -> dict[str, str]:
    """The documentation of the arrays of all parts, by their names in `lesson.npz`."""
    return {f"{part}/{array}": text for part in PARTS for array, text in PARTS[part].arrays.items()}
