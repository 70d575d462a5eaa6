"""A trained model for use elsewhere: its parameters for numpy, or the whole of it for any program with jax."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import export

from cnn_jax.config import Config
from cnn_jax.data.dataset import Spec
from cnn_jax.training import programs

PLATFORMS = ("cpu", "cuda", "tpu")


def write_npz(path: Path, params: Any) -> None:
    """Stores the parameters under the summary's names, as in `Conv_0/kernel`; read them with `numpy.load`."""
    leaves = jax.tree_util.tree_leaves_with_path(params)
    arrays: dict[str, Any] = {"/".join(part.key for part in path): np.asarray(leaf) for path, leaf in leaves}
    with path.open("wb") as stream:
        np.savez(stream, allow_pickle=False, **arrays)


def write_stablehlo(path: Path, config: Config, spec: Spec, params: Any) -> None:
    """Stores images -> logits as StableHLO for CPU, CUDA and TPU, with the parameters in it.

    Images: uint8 [N, H, W, C], any N, as the dataset has them. Logits: float32 [N, classes], or a dict of them by
    output. Read it with
    `jax.export.deserialize(bytearray(path.read_bytes())).call(images)`; it keeps XLA's own operators.
    """
    apply = programs.apply_function(config, spec, fused=False)

    def infer(images: jax.Array) -> Any:
        return apply(params, images)

    shape = export.symbolic_shape(", ".join(["batch", *map(str, spec.image_shape)]))
    exported = export.export(jax.jit(infer), platforms=PLATFORMS)(jax.ShapeDtypeStruct(shape, jnp.uint8))
    path.write_bytes(exported.serialize())
