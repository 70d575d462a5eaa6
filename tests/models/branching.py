"""For tests, a module with what a chain of layers has not: two inputs and outputs, a branch, a layer used twice."""

import jax
import jax.numpy as jnp
from flax import linen as nn

from cnn_jax.models.layers import Conv, Dense, Flatten, MaxPool

INPUTS = {
    "image": jax.ShapeDtypeStruct((1, 16, 16, 1), jnp.float32),
    "metadata": jax.ShapeDtypeStruct((1, 3), jnp.float32),
}


class Residual(nn.Module):
    """An unpadded convolution, one padded convolution twice, and a shortcut around them that cuts the border off."""

    @nn.compact
    def __call__(self, images: jax.Array) -> jax.Array:
        same = nn.Conv(4, (3, 3), name="same")
        x = nn.relu(Conv(4)(images))
        x = same(nn.relu(same(x)))
        return nn.relu(x + nn.Conv(4, (1, 1), name="shortcut")(images[:, 1:-1, 1:-1]))


class Branching(nn.Module):
    """Takes a dict of shapes `INPUTS`; gives a dict of two logits."""

    @nn.compact
    def __call__(self, inputs: dict[str, jax.Array]) -> dict[str, jax.Array]:
        x = Flatten()(MaxPool()(Residual()(inputs["image"])))
        x = jnp.concatenate([x, nn.relu(Dense(5)(inputs["metadata"]))], axis=-1)
        return {"digit": Dense(10, name="digit")(x), "is_large": Dense(2, name="is_large")(x)}
