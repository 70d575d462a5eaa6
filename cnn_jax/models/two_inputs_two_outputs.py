"""A model that is more than a chain of layers: it has two inputs, a residual branch and two outputs."""

from typing import Annotated, Any, ClassVar

import jax
import jax.numpy as jnp
from flax import linen as nn

from cnn_jax.errors import InputError
from cnn_jax.models.layers import Conv, Dense, Flatten, MaxPool
from cnn_jax.settings import About

_NAME = "--model=two_inputs_two_outputs"


class TwoInputTwoOutputCNN(nn.Module):
    """Two inputs, a residual branch and two outputs, as Keras's functional API would connect them.

    inputs: a dict of `image`, float [N, H, W, C], and `metadata`, float [N, 3]. Returns a dict of logits: `digit`,
    float32 [N, classes], and `five_or_more`, float32 [N, 2]. Raises InputError, which names the input, on other shapes.
    """

    tasks: ClassVar[tuple[str, ...]] = ("with_metadata",)

    classes: int
    widths: Annotated[
        tuple[int, int],
        About("filters of the convolutions, units of the dense layer that both outputs share", at_least=1),
    ] = (32, 64)
    kernel_size: Annotated[int, About("height and width of the filters, in pixels", at_least=1, at_most=255)] = 3
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, inputs: dict[str, jax.Array]) -> dict[str, jax.Array]:
        image, metadata = _checked(inputs)
        filters, units = self.widths
        trunk = MaxPool()(nn.relu(Conv(filters, self.kernel_size, self.dtype)(image)))

        # A residual branch: its output is added to the trunk, which itself stays unchanged (He et al., 2015).
        branch = nn.relu(Conv(filters, self.kernel_size, self.dtype, padding="SAME")(trunk))
        branch = Conv(filters, self.kernel_size, self.dtype, padding="SAME")(branch)
        trunk = MaxPool()(nn.relu(trunk + branch))

        numbers = nn.relu(Dense(filters, dtype=self.dtype)(metadata))
        joined = jnp.concatenate([Flatten()(trunk), numbers], axis=-1)
        shared = nn.relu(Dense(units, dtype=self.dtype)(joined))
        return {
            "digit": Dense(self.classes, dtype=self.dtype)(shared).astype(jnp.float32),
            "five_or_more": Dense(2, dtype=self.dtype)(shared).astype(jnp.float32),
        }


def _checked(inputs: Any) -> tuple[jax.Array, jax.Array]:
    if not isinstance(inputs, dict) or inputs.keys() != {"image", "metadata"}:
        given = sorted(inputs) if isinstance(inputs, dict) else f"one array of shape {inputs.shape}"
        raise InputError(f"{_NAME}: the model needs the inputs image and metadata, but received {given}.")
    image, metadata = inputs["image"], inputs["metadata"]
    if image.ndim != 4:
        raise InputError(f"{_NAME}: the input image has shape {image.shape}, expected (N, H, W, C).")
    if metadata.shape != (image.shape[0], 3):
        raise InputError(
            f"{_NAME}: the input metadata has shape {metadata.shape}, expected {(image.shape[0], 3)} because the "
            f"image has shape {image.shape}."
        )
    return image, metadata
