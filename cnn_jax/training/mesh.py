"""The devices as a mesh with the axes `seed` and `data`. There is always a mesh, so that one device is no special case.

Seeds that train together are laid along `seed`; the images of a batch are laid along `data`.
"""

import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

SEED, DATA = "seed", "data"


def make_mesh(num_seeds: int = 1, devices: Sequence[jax.Device] | None = None) -> Mesh:
    """A mesh of all devices, or of the given ones.

    As many devices as divide both their own number and `num_seeds` lie along `seed`, and the others along `data`.
    """
    array = np.asarray(jax.devices() if devices is None else devices)
    along_seed = math.gcd(num_seeds, array.size)
    return Mesh(array.reshape(along_seed, -1), (SEED, DATA))


def replicated(mesh: Mesh) -> NamedSharding:
    """Every device holds the whole array."""
    return NamedSharding(mesh, PartitionSpec())


def by_data(mesh: Mesh) -> NamedSharding:
    """The first axis of an array is laid along `data`."""
    return NamedSharding(mesh, PartitionSpec(DATA))


def by_seed(mesh: Mesh) -> NamedSharding:
    """The first axis of an array is laid along `seed`."""
    return NamedSharding(mesh, PartitionSpec(SEED))


def padded(batch_size: int, mesh: Mesh, microbatches: int = 1) -> int:
    """The smallest number of rows that holds a batch, and whose equal parts the devices along `data` share evenly."""
    parts = microbatches * mesh.shape[DATA]
    return math.ceil(batch_size / parts) * parts


def stacked(trees: Sequence[Any], num_seeds: int) -> Any:
    """The trees of several seeds as one, with an axis of seeds in front, which is laid along `seed`."""
    along_seed = by_seed(make_mesh(num_seeds))
    return jax.device_put(jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees), along_seed)
