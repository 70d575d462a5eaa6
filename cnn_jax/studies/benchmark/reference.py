"""A program that is always the same: how fast the machine is at this moment, whatever is measured beside it.

Two records of the same device were measured at different times. If the reference was slower in one of them, the machine
was, and not what was measured.
"""

import jax
import jax.numpy as jnp
from jax import lax
from jax.sharding import PartitionSpec

from cnn_jax import compilation
from cnn_jax.studies.benchmark import timing
from cnn_jax.studies.benchmark.timing import Reference
from cnn_jax.training.mesh import by_data, make_mesh

_ROWS, _WIDTH = 4096, 256  # large enough for all cores, and more than the first caches hold, as a layer's arrays
_CALL_SECONDS = 0.05


def prepare() -> Reference:
    """The compiled reference. It gives the seconds of one part, a matrix product and a ReLU on each device.

    A call times as many parts as take about 50 ms now.
    """
    mesh, devices = make_mesh(), len(jax.devices())

    def run(rows: jax.Array, count: jax.Array) -> jax.Array:
        weights = jnp.full((_WIDTH, _WIDTH), 1 / _WIDTH, jnp.float32)
        return lax.fori_loop(0, count, lambda _, rows: jnp.maximum(rows @ weights, 0), rows)

    specs = by_data(mesh).spec, PartitionSpec()
    on_each = jax.shard_map(run, mesh=mesh, in_specs=specs, out_specs=specs[0])
    rows = jnp.ones((devices * _ROWS, _WIDTH), jnp.float32, device=by_data(mesh))
    program, _ = compilation.compiled(compilation.jit(on_each), rows, 1)
    parts = timing.calibrate(lambda count: program(rows, count), seconds=_CALL_SECONDS, at_most=1000)
    return lambda: timing.time_once(lambda: program(rows, parts)) / parts
