"""How sure networks are of the right class when the pictures are moved, turned, or drawn with another pen."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from cnn_jax import compilation
from cnn_jax.data.dataset import Split
from cnn_jax.data.geometric import affine, rotated
from cnn_jax.data.intensity import thickened
from cnn_jax.experiment import Experiment, build

Change = Callable[[jax.Array, jax.Array], jax.Array]


def _moved_right(images: jax.Array, pixels: jax.Array) -> jax.Array:
    return affine(images, ((1, 0), (0, 1)), (0, -pixels))


def _moved_down(images: jax.Array, pixels: jax.Array) -> jax.Array:
    return affine(images, ((1, 0), (0, 1)), (-pixels, 0))


def _turned(images: jax.Array, degrees: jax.Array) -> jax.Array:
    return rotated(images, jnp.radians(degrees))


# Each takes float32 images [N, H, W, C] from 0 to 1 and an amount: pixels to the right, pixels down, degrees clockwise,
# and what `thickened` takes. The amounts are those of the page's curves.
CHANGES: Mapping[str, tuple[Change, Sequence[float]]] = {
    "right": (_moved_right, range(-8, 9, 2)),
    "down": (_moved_down, range(-8, 9, 2)),
    "turn": (_turned, range(-60, 61, 15)),
    "thickness": (thickened, (-1.0, -0.75, -0.5, -0.25, 0.0, 0.25, 0.5, 0.75, 1.0)),
}


def compute(networks: Sequence[tuple[Experiment, dict]], split: Split) -> dict[str, Any]:
    """The mean probability of the right class after each change, of each network.

    networks: experiment and variables. split: images that no network was trained on.
    """
    images = jnp.asarray(split.images, jnp.float32) / 255
    changed = {
        name: [change(images, jnp.float32(amount)) for amount in amounts] for name, (change, amounts) in CHANGES.items()
    }
    return {
        "amounts": {name: list(amounts) for name, (_, amounts) in CHANGES.items()},
        "examples": len(split),
        "means": [_means(*network, changed, split.labels) for network in networks],
    }


def compiled_apply(experiment: Experiment) -> Callable[[Mapping[str, Any], Any], Any]:
    """The model as a compiled function of variables and images; it gives logits."""
    apply: Callable[[Mapping[str, Any], Any], Any] = compilation.jit(build(experiment).apply)
    return apply


def _means(
    experiment: Experiment, variables: dict, changed: Mapping[str, Sequence[jax.Array]], labels: np.ndarray
) -> dict[str, list[float]]:
    apply = compiled_apply(experiment)

    def mean(images: jax.Array) -> float:
        probabilities = np.asarray(jax.nn.softmax(apply(variables, 255 * images)))
        return float(probabilities[np.arange(len(labels)), labels].mean())

    return {name: [mean(images) for images in of_change] for name, of_change in changed.items()}
