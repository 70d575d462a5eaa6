"""Pictures that are changed, and the networks' mean probabilities of the right class."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from cnn_jax.data.dataset import Dataset
from cnn_jax.experiment import Experiment, build
from cnn_jax.studies.lesson.live import robustness


def changed(name: str, images: np.ndarray, amount: float) -> np.ndarray:
    change, _ = robustness.CHANGES[name]
    return np.asarray(change(jnp.asarray(images), jnp.float32(amount)))


@pytest.mark.slow
@pytest.mark.parametrize("pixels", [-3, 2])
def test_pictures_move_by_whole_pixels(pixels: int) -> None:
    images = np.random.default_rng(0).random((4, 28, 28, 1), np.float32)
    for name, axis in (("down", 1), ("right", 2)):
        shift = [0, 0, 0, 0]
        shift[axis] = pixels
        np.testing.assert_allclose(changed(name, images, pixels), ndimage.shift(images, shift, order=0), atol=1e-6)


@pytest.mark.slow
def test_positive_turns_are_clockwise_and_positive_thickness_adds_ink() -> None:
    images = np.zeros((1, 27, 27, 1), np.float32)
    images[0, 3, 13] = 1  # at twelve o'clock
    assert np.unravel_index(changed("turn", images, 90.0)[0].argmax(), (27, 27, 1)) == (13, 23, 0)
    assert changed("thickness", images, 0.5).sum() == 5
    assert changed("thickness", images, -0.5).sum() == 0.5


@pytest.mark.slow
def test_means_are_those_of_the_changed_images_one_by_one(drawn_digits: Dataset) -> None:
    experiment = Experiment().vary(model="logistic")
    learner = build(experiment, drawn_digits.spec)
    variables = jax.device_get(learner.init(jax.random.key(0)))
    few = drawn_digits.test[:5]
    found = robustness.compute([(experiment.with_spec(drawn_digits.spec), variables)], few)
    kernel, bias = (variables["params"]["Dense_0"][name].astype(float) for name in ("kernel", "bias"))
    for name, amounts in found["amounts"].items():
        for amount, mean in zip(amounts, found["means"][0][name], strict=True):
            logits = changed(name, few.images / np.float32(255), amount).reshape(5, -1) @ kernel + bias
            probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
            assert mean == pytest.approx(probabilities[np.arange(5), few.labels].mean(), abs=1e-5)
