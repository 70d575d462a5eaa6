"""Moments of one training: the parameters that training has at these steps, rounded."""

import base64
from typing import Any

import jax
import numpy as np
import pytest

from cnn_jax.data.dataset import Dataset
from cnn_jax.experiment import Experiment, build
from cnn_jax.studies.lesson.live import moments
from cnn_jax.studies.lesson.live.chain import NotShown, chain
from cnn_jax.training.compiled import compile_training
from cnn_jax.training.loop import train
from cnn_jax.training.mesh import make_mesh

TINY = Experiment().vary(widths=(4, 8), batch_size=10, epochs=1)


def decoded(layer: dict[str, str]) -> dict[str, np.ndarray]:
    """Kernel and bias of a layer as a reader of the page's data makes them."""
    numbers = {name: np.frombuffer(base64.b64decode(layer[name]), kind) for name, kind in zip(
        ("kernel", "step", "bias"), ("i1", "<f4", "<f2"), strict=True
    )}  # fmt: skip
    kernel = numbers["kernel"].reshape(-1, len(numbers["step"])) * numbers["step"]
    return {"kernel": kernel, "bias": numbers["bias"].astype(np.float32)}


@pytest.fixture(scope="module")
def found(drawn_digits: Dataset) -> dict[str, Any]:
    variables = build(TINY, drawn_digits.spec).init(jax.random.key(0))
    return moments.compute(TINY, chain(TINY, variables), drawn_digits.train, drawn_digits.test)


def test_moments_are_six_where_the_epoch_has_room_for_them() -> None:
    assert moments.steps(313) == [0, 3, 10, 31, 99, 313]
    assert moments.steps(2) == [0, 1, 2]


@pytest.mark.slow
def test_moments_go_from_the_first_step_to_the_end_of_the_epoch(found: dict[str, Any]) -> None:
    assert [moment["step"] for moment in found["moments"]] == [0, 2, 4, 8, 15, 30]


@pytest.mark.slow
def test_parameters_are_those_of_the_training_loop_but_for_rounding(
    found: dict[str, Any], drawn_digits: Dataset
) -> None:
    training = compile_training(build(TINY, drawn_digits.spec), drawn_digits.train, make_mesh())
    last, _ = train(training, 0)
    states = {0: training.create_state(0), 30: last.state}
    for moment in (found["moments"][0], found["moments"][-1]):
        for name, layer in moment["layers"].items():
            exact = jax.device_get(states[moment["step"]].params)[name]
            kernel = exact["kernel"].reshape(-1, exact["kernel"].shape[-1])
            step = np.abs(kernel).max(axis=0) / 127
            assert (np.abs(decoded(layer)["kernel"] - kernel) <= 0.51 * step).all()
            np.testing.assert_allclose(decoded(layer)["bias"], exact["bias"], rtol=1e-3, atol=1e-7)


@pytest.mark.slow
def test_accuracy_is_that_of_the_rounded_parameters(found: dict[str, Any], drawn_digits: Dataset) -> None:
    learner = build(TINY, drawn_digits.spec)
    shapes = jax.tree.map(lambda leaf: leaf.shape, learner.abstract_variables["params"])
    for moment in (found["moments"][0], found["moments"][-1]):
        params = {
            name: {part: value.reshape(shapes[name][part]) for part, value in decoded(layer).items()}
            for name, layer in moment["layers"].items()
        }
        answers = np.asarray(learner.apply({"params": params}, drawn_digits.test.images)).argmax(1)
        assert moment["accuracy"] == np.mean(answers == drawn_digits.test.labels)
    assert found["moments"][-1]["accuracy"] > found["moments"][0]["accuracy"]


@pytest.mark.slow
def test_training_that_diverges_gives_no_moments(drawn_digits: Dataset) -> None:
    with pytest.raises(NotShown, match="its training diverges at step"):
        list(moments.moments(TINY.vary(learning_rate=1e30), drawn_digits.train))
