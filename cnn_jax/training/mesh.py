"""The devices at hand as a mesh of one axis. Always one, even of a single device: no second code for many."""

import math

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec


def over_all_devices() -> Mesh:
    """A mesh of all devices along the axis `batch`."""
    return Mesh(np.asarray(jax.devices()), ("batch",))


def replicated(mesh: Mesh) -> NamedSharding:
    """Every device holds the whole array."""
    return NamedSharding(mesh, PartitionSpec())


def by_batch(mesh: Mesh) -> NamedSharding:
    """Each device holds its part of the first axis."""
    return NamedSharding(mesh, PartitionSpec("batch"))


def padded(batch_size: int, mesh: Mesh) -> int:
    """The smallest number of rows that holds the batch and splits evenly over the devices."""
    return math.ceil(batch_size / mesh.size) * mesh.size
