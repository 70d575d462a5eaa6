"""Digits that nobody wrote: drawn from skeletons in MNIST's form, a dataset that needs no file and no network."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from cnn_jax.data.dataset import Spec, Split
from cnn_jax.data.notes import Warn
from cnn_jax.data.source import Source
from cnn_jax.errors import InputError


@dataclass(frozen=True)
class Glyphs(Source):
    """A pure function of its seed. Image i shows digit i % 10, so that every part of the dataset is balanced.

    The same bits on one machine; on another processor a few pixels may differ by one grey level.
    """

    seed: int = 0

    def seeded(self, seed: int) -> "Glyphs":
        """The source that draws with this seed: the seed becomes a part of its version, and so of its cache."""
        return replace(self, seed=seed, version=f"{GLYPHS.version}-seed{seed}")

    def produce(self, folder: Path, manual_dir: Path | None, warn: Warn) -> tuple[Split, Split]:
        train, total = self.spec.train_examples, self.spec.train_examples + self.spec.test_examples
        warn(f"{self.spec.name}: drawing {total:,} images, once; this takes some seconds")
        labels = np.arange(total, dtype=np.int32) % len(self.spec.classes)
        images = draw(labels, self.seed)
        return Split(images[:train], labels[:train]), Split(images[train:], labels[train:])


def draw(labels: np.ndarray, seed: int) -> np.ndarray:
    """A digit for each label: uint8 [N, 28, 28, 1]. labels: int32 [N].

    Always on the processor, so that an accelerator does not change the images. Raises InputError where jax may not
    use it.
    """
    import jax  # a start from the cache does without it
    from scipy.linalg import block_diag

    from cnn_jax.data import skeletons, splines, strokes

    try:
        processor = jax.local_devices(backend="cpu")[0]
    except RuntimeError:
        raise InputError("--dataset=glyphs: is drawn on the processor; add cpu to JAX_PLATFORMS.") from None
    stacked = splines.stacked([splines.skeleton(parts) for writings in skeletons.DIGITS for _, parts in writings])
    weights = block_diag(*([weight for weight, _ in writings] for writings in skeletons.DIGITS)).astype(np.float32)
    with jax.default_device(processor):
        choice_key, hand_key = jax.random.split(jax.random.key(seed, impl="threefry2x32"))
        which = jax.random.categorical(choice_key, jax.numpy.log(weights)[labels])
        # The project's own compiler options are for convolutions; with jax's the pen is twice as fast.
        return np.asarray(jax.jit(strokes.draw_all)(stacked, which, hand_key, strokes.Style()))


GLYPHS = Glyphs(
    Spec("glyphs", "drawn digits in MNIST's form; need no file", (28, 28, 1), tuple("0123456789"), 60_000, 10_000),
    version="1",
)
