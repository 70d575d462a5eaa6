"""The parts of the lesson in the lecture's order, and what each is computed from."""

import re
from collections.abc import Iterator, Mapping, Sequence
from types import ModuleType
from typing import Any

from cnn_jax.data.dataset import Dataset
from cnn_jax.studies.lesson import (
    features,
    functional,
    images,
    learned,
    permutation,
    pooling,
    results,
    templates,
    verdict,
)
from cnn_jax.studies.lesson.followed import Followed
from cnn_jax.studies.lesson.networks import Network

PARTS: Mapping[str, ModuleType] = {
    "images": images,
    "templates": templates,
    "learned": learned,
    "permutation": permutation,
    "functional": functional,
    "features": features,
    "pooling": pooling,
    "results": results,
    "verdict": verdict,
}


def compute_parts(
    digits: Dataset, x_and_o: Dataset, networks: Sequence[Network], followed: Followed
) -> Iterator[tuple[str, dict[str, Any]]]:
    """The name and the record of each part. digits: of ten classes. networks: the first one's layers are shown."""
    first, runs = networks[0], [network.run for network in networks]
    origins = {network.name: network.origin for network in networks}
    yield "images", images.compute()
    yield "templates", templates.compute(x_and_o)
    yield "learned", learned.compute(x_and_o)
    yield "permutation", permutation.compute(digits)
    yield "functional", functional.compute(digits)
    yield "features", features.compute(first.experiment, digits.spec, first.variables, followed)
    yield "pooling", pooling.compute(digits.spec, followed.image)
    yield "results", results.compute(runs, digits.test.images, digits.spec.classes, origins)
    yield "verdict", verdict.compute(runs)


def described(name: str) -> str:
    """What an array holds, by its name in the file of arrays."""
    part, _, own = name.partition("/")
    for pattern, text in PARTS[part].ARRAYS.items():
        if re.fullmatch(re.sub(r"LAYER|RUN", ".+", pattern), own):
            return str(text).partition(": ")[2]
    raise KeyError(name)
