"""The devices as a mesh with the axes `seed` and `data`. There is always a mesh, so that one device is no special case.

Seeds that train together are laid along `seed`; the images of a batch are laid along `data`.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec, Sharding

from cnn_jax.errors import InputError

SEED, DATA = "seed", "data"


def make_mesh(
    num_seeds: int = 1, devices: Sequence[jax.Device] | None = None, sizes: Mapping[str, int] | None = None
) -> Mesh:
    """A mesh of all devices, or of the given ones.

    As many devices as divide both their own number and `num_seeds` lie along `seed`, and the others along `data`.
    sizes: of the axes, for the first devices instead; one seed has all of them along `data`. Raises InputError if there
    are not so many, or if the seeds do not divide.
    """
    array = np.asarray(jax.devices() if devices is None else devices)
    along_seed = math.gcd(num_seeds, array.size)
    if sizes is not None:
        along_seed = sizes.get(SEED, 1) if num_seeds > 1 else 1
        array = _first(array, sizes)
        if num_seeds % along_seed:
            raise InputError(f"--mesh={in_words(sizes)}: {num_seeds} seeds train together, which is no multiple.")
    return Mesh(array.reshape(along_seed, -1), (SEED, DATA))


def _first(devices: np.ndarray, sizes: Mapping[str, int]) -> np.ndarray:
    """As many devices as these axes need. Raises InputError if there are fewer."""
    needed = math.prod(sizes.values())
    if needed > devices.size:
        raise InputError(f"--mesh={in_words(sizes)}: needs {needed} devices, and there are {devices.size}.")
    return devices[:needed]


def in_words(sizes: Mapping[str, int]) -> str:
    """The sizes of axes as on the command line: `data:4,seed:2`."""
    return ",".join(f"{axis}:{size}" for axis, size in sizes.items())


def all_along_data(mesh: Mesh) -> Mesh:
    """The same devices for one seed."""
    return Mesh(mesh.devices.reshape(1, -1), (SEED, DATA))


def replicated(mesh: Mesh) -> NamedSharding:
    """Every device holds the whole array."""
    return NamedSharding(mesh, PartitionSpec())


def by_data(mesh: Mesh) -> NamedSharding:
    """The first axis of an array is laid along `data`."""
    return NamedSharding(mesh, PartitionSpec(DATA))


def by_seed(mesh: Mesh) -> NamedSharding:
    """The first axis of an array is laid along `seed`."""
    return NamedSharding(mesh, PartitionSpec(SEED))


def place(tree: Any, sharding: Sharding) -> Any:
    """The arrays on the devices of a mesh. Where these belong to several processes, each gives the same values."""
    if sharding.is_fully_addressable:
        return jax.device_put(tree, sharding)
    return jax.tree.map(lambda leaf: _place_among_processes(leaf, sharding), tree)


def _place_among_processes(leaf: Any, sharding: Sharding) -> jax.Array:
    if isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        data = _place_among_processes(jax.random.key_data(leaf), sharding)
        return jax.random.wrap_key_data(data, impl=jax.random.key_impl(leaf))
    if isinstance(leaf, jax.Array) and not leaf.is_fully_addressable:
        return jax.jit(lambda array: array, out_shardings=sharding)(leaf)
    values = np.asarray(leaf)
    return jax.make_array_from_callback(values.shape, sharding, values.__getitem__)


def on_host(tree: Any) -> Any:
    """The arrays on the host. All processes call it: what is laid over their devices is collected first."""
    return jax.device_get(whole(tree))


def whole(tree: Any) -> Any:
    """The arrays as every process has them as a whole. All processes call it."""
    return jax.tree.map(_whole, tree)


def _whole(leaf: Any) -> Any:
    if not isinstance(leaf, jax.Array) or leaf.is_fully_addressable or leaf.is_fully_replicated:
        return leaf
    assert isinstance(leaf.sharding, NamedSharding), "arrays of several processes are laid on a mesh"
    return _place_among_processes(leaf, leaf.sharding.update(spec=PartitionSpec()))


def padded(batch_size: int, mesh: Mesh, microbatches: int = 1) -> int:
    """The smallest number of rows that holds a batch, and whose equal parts the devices along `data` share evenly."""
    parts = microbatches * mesh.shape[DATA]
    return math.ceil(batch_size / parts) * parts


def stacked(trees: Sequence[Any], mesh: Mesh) -> Any:
    """The trees of several seeds as one, with an axis of seeds in front, which is laid along `seed`."""
    return place(jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees), by_seed(mesh))
