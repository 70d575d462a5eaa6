"""Training with augmentations: all in one pipeline, cut anywhere, on several devices, and for several seeds."""

import jax
import numpy as np
import pytest

from cnn_jax import Experiment, data
from cnn_jax.data.augmentations import AUGMENTATIONS
from cnn_jax.experiment import build
from cnn_jax.training.compiled import Training, compile_training
from cnn_jax.training.mesh import make_mesh
from tests.conftest import drawn_split

SPEC = data.spec("x_and_o")
FEW = ("rotation", "mixup")
EVERY = tuple(name for name in AUGMENTATIONS if name != "cutmix")  # one mixture at most


def training(augment: tuple[str, ...], devices: int = 1, num_seeds: int | None = None) -> Training:
    experiment = Experiment().vary(model="logistic", augment=augment, batch_size=10, epochs=1)
    mesh = make_mesh(num_seeds or 1, jax.devices()[:devices])
    return compile_training(build(experiment, SPEC), drawn_split(SPEC, 33, seed=1), mesh, num_seeds)


def trained(training: Training, *cuts: int, seed: int | list[int] = 0) -> tuple[dict, dict]:
    """Parameters and sums after an epoch of four steps that is cut at these steps."""
    state, sums = training.create_state(seed), training.zeros()
    indices = training.batch_indices(state.key, 1)
    for first, last in zip((0, *cuts), (*cuts, training.epoch_steps), strict=True):
        state, sums = training.chunk(state, sums, indices, first, last)
    return jax.device_get((state.params, sums))


@pytest.mark.slow
@pytest.mark.parametrize("augment", [FEW, pytest.param(EVERY, marks=pytest.mark.slow)], ids=["few", "all"])
def test_pipeline_is_cut_anywhere_and_reaches_the_same_bits(augment: tuple[str, ...]) -> None:
    compiled = training(augment)
    whole = trained(compiled)
    jax.tree.map(np.testing.assert_array_equal, trained(compiled, 1, 3), whole)
    assert np.isfinite(whole[1].loss) and whole[1].count == 33
    other = trained(compiled, seed=1)
    assert not np.array_equal(other[1].loss, whole[1].loss)


@pytest.mark.slow
@pytest.mark.devices(4)
def test_devices_share_an_augmented_batch() -> None:
    unmixed = tuple(name for name in EVERY if name != "mixup")  # a mixture sees how far a batch is filled up
    alone, shared = trained(training(unmixed)), trained(training(unmixed, devices=4))
    jax.tree.map(lambda one, other: np.testing.assert_allclose(one, other, atol=1e-4), alone, shared)


@pytest.mark.slow
def test_seeds_that_train_together_draw_as_each_alone() -> None:
    together = trained(training(EVERY, num_seeds=2), seed=[3, 4])
    for index, seed in enumerate((3, 4)):
        alone = trained(training(EVERY), seed=seed)
        jax.tree.map(
            lambda one, several, index=index: np.testing.assert_allclose(one, several[index], atol=1e-4),
            alone,
            together,
        )
