"""Drawn digits in MNIST's form: a dataset that needs no file and no network."""

from typing import Annotated

import numpy as np

from cnn_jax.data.dataset import Spec
from cnn_jax.data.source import DrawnSource, Normalize
from cnn_jax.errors import InputError
from cnn_jax.settings import About


def draw(labels: np.ndarray, seed: int) -> np.ndarray:
    """A digit for each label: uint8 [N, 28, 28, 1]. labels: int32 [N].

    The same bits on one machine; on another processor a few pixels may differ by one grey level. Always on the CPU, so
    that an accelerator does not change the images. Raises InputError where jax may not use the CPU.
    """
    import jax  # a start from the cache needs neither jax nor scipy
    from scipy.linalg import block_diag

    from cnn_jax.data import skeletons, splines, strokes

    try:
        cpu = jax.local_devices(backend="cpu")[0]
    except RuntimeError:
        raise InputError("--dataset=glyphs: the images are drawn on the CPU; add cpu to JAX_PLATFORMS.") from None
    stacked = splines.stacked([splines.skeleton(parts) for variants in skeletons.DIGITS for _, parts in variants])
    weights = block_diag(*([weight for weight, _ in variants] for variants in skeletons.DIGITS)).astype(np.float32)
    with jax.default_device(cpu):
        variant_key, style_key = jax.random.split(jax.random.key(seed, impl="threefry2x32"))
        indices = jax.random.categorical(variant_key, jax.numpy.log(weights)[labels])
        # Without the project's compiler options, which are made for convolutions: drawing is twice as fast.
        return np.asarray(jax.jit(strokes.draw_all)(stacked, indices, style_key, strokes.Style()))


SPEC = Spec(
    "glyphs",
    "drawn digits in MNIST's form; need no file",
    (28, 28, 1),
    tuple("0123456789"),
    60_000,
    10_000,
    mnist_form=True,
)

Seed = Annotated[int, About("the random seed of the drawings", at_least=0, at_most=2**32 - 1)]


def glyphs(seed: Seed = 0, normalize: Normalize = "unit") -> DrawnSource:
    """The glyphs that are drawn with this seed."""
    version = f"1-seed{seed}"
    return DrawnSource(SPEC, version=version, draw=draw, seed=seed, is_slow=True, normalize=normalize)
