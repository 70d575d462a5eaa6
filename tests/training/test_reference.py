"""The training step is Keras's: same logits, losses and weights, from the same weights on the same images.

`tests/reference/make_keras_reference.py` made the numbers with Keras 3 and says how.
"""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn_jax import data
from cnn_jax.experiment import Experiment, build
from cnn_jax.training import metrics
from cnn_jax.training.state import TrainState
from cnn_jax.training.step import make_step

REFERENCE = Path(__file__).parents[1] / "reference" / "keras_reference.npz"
LAYERS = {"conv1": "Conv_0", "conv2": "Conv_1", "conv3": "Conv_2", "dense": "Dense_0"}


@pytest.fixture(scope="module")
def reference() -> dict[str, np.ndarray]:
    with np.load(REFERENCE, allow_pickle=False) as file:
        return dict(file)


def weights(reference: dict[str, np.ndarray], prefix: str) -> dict:
    return {
        ours: {part: jnp.asarray(reference[f"{prefix}/{theirs}/{part}"]) for part in ("kernel", "bias")}
        for theirs, ours in LAYERS.items()
    }


@pytest.mark.parametrize(("variant", "pooling"), [("pooling", True), ("no_pooling", False)])
def test_three_updates_are_those_of_keras(reference: dict[str, np.ndarray], variant: str, pooling: bool) -> None:
    learner = build(Experiment().vary(widths=(4, 8, 16), pooling=pooling), data.spec("mnist"))
    params = weights(reference, f"{variant}/initial")
    opt_state = learner.optimizer_for(learner.learning_rate, 3).init(params)
    state = TrainState(jnp.int32(0), params, {}, {}, opt_state, jax.random.key(0))
    images, labels = reference["images"], reference["labels"]
    logits = jax.jit(learner.apply)(state.variables, images[0])
    np.testing.assert_allclose(logits, reference[f"{variant}/logits"], atol=1e-5)
    step = jax.jit(make_step(learner, learner.learning_rate, 3))
    for number in range(3):
        state, sums = step(state, images[number], labels[number], np.ones(16, bool))
        np.testing.assert_allclose(sums.loss / sums.count, reference[f"{variant}/loss"][number], atol=1e-5)
        np.testing.assert_allclose(sums.correct / sums.count, reference[f"{variant}/accuracy"][number], atol=1e-6)
        if f"{variant}/after{number + 1}/conv1/kernel" in reference:
            expected = weights(reference, f"{variant}/after{number + 1}")
            jax.tree.map(lambda ours, keras: np.testing.assert_allclose(ours, keras, atol=1e-5), state.params, expected)
    assert int(sums.diverged_at) == metrics.NEVER
