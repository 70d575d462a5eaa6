"""Averages of the parameters: what plain loops give, and what is scored."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn_jax import data
from cnn_jax.experiment import Experiment, build
from cnn_jax.training import loop
from cnn_jax.training.compiled import Training, compile_inference, compile_training
from cnn_jax.training.loop import Progress, fit, initial_progress
from cnn_jax.training.mesh import make_mesh
from cnn_jax.training.optimizers import Averaging, ema, swa
from tests.conftest import drawn_split

SPEC = data.spec("mnist")
STEPS = 15  # three epochs of five


def plain_ema(params: list[np.ndarray], decay: float) -> np.ndarray:
    """params: before the first step, and after each."""
    average = params[0].astype(np.float64)
    for step, new in enumerate(params[1:], start=1):
        kept = min(decay, (1 + step) / (10 + step))
        average = kept * average + (1 - kept) * new
    return average


def plain_swa(params: list[np.ndarray], first: int) -> np.ndarray:
    """params: before the first step, and after each. first: the last step that does not count."""
    return np.mean(np.asarray(params[first + 1 :], np.float64), axis=0)


def averaged(averaging: Averaging, params: list[np.ndarray]) -> np.ndarray:
    """The average as training keeps it, step by step."""
    average = jnp.asarray(params[0])
    for step, new in enumerate(params[1:], start=1):
        average = averaging(average, jnp.asarray(new), jnp.int32(step))
    return np.asarray(average)


@pytest.fixture
def walk() -> list[np.ndarray]:
    """Parameters before the first of 100 steps and after each."""
    return list(np.random.default_rng(0).normal(0, 1, (101, 4)).cumsum(axis=0).astype(np.float32))


@pytest.mark.parametrize("decay", [0.0, 0.5, 0.9, 0.999])
def test_ema_is_a_plain_loop(walk: list[np.ndarray], decay: float) -> None:
    np.testing.assert_allclose(averaged(ema(decay), walk), plain_ema(walk, decay), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("start", "first"), [(0.0, 0), (0.25, 25), (0.75, 75), (0.99, 99)])
def test_swa_is_the_plain_mean_from_its_start_on(walk: list[np.ndarray], start: float, first: int) -> None:
    np.testing.assert_allclose(averaged(swa(100, start), walk), plain_swa(walk, first), rtol=1e-4, atol=1e-4)


def test_swa_is_the_last_parameters_until_it_starts(walk: list[np.ndarray]) -> None:
    np.testing.assert_allclose(averaged(swa(100, 0.75), walk[:40]), walk[39], rtol=1e-5)
    np.testing.assert_allclose(averaged(swa(100, 1.0), walk), walk[100], rtol=1e-5)


def compiled(average: str, **settings: object) -> Training:
    experiment = Experiment().vary(
        model="logistic", optimizer="momentum", learning_rate=0.1, batch_size=20, epochs=3, average=average, **settings
    )
    return compile_training(build(experiment, SPEC), drawn_split(SPEC, 90, seed=2), make_mesh())


def trained(training: Training) -> tuple[list[np.ndarray], Progress]:
    """The kernel before the first step and after each, and the last progress."""
    start = initial_progress(training, 0)
    kernels = [np.array(start.state.params["Dense_0"]["kernel"])]
    for progress in fit(training, start):
        kernels.append(np.array(progress.state.params["Dense_0"]["kernel"]))
    assert len(kernels) == 1 + STEPS
    return kernels, progress


@pytest.mark.slow
@pytest.mark.parametrize(
    ("average", "settings"), [("ema", {"decay": 0.7}), ("swa", {"average.start": 0.4}), ("none", {})]
)
def test_training_scores_the_average_and_goes_on_from_the_parameters(
    average: str, settings: dict, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "CHUNK_SECONDS", 0.0)
    training = compiled(average, **settings)
    kernels, last = trained(training)
    expected = {"ema": plain_ema(kernels, 0.7), "swa": plain_swa(kernels, 6), "none": kernels[-1]}[average]
    np.testing.assert_allclose(last.state.variables["params"]["Dense_0"]["kernel"], expected, rtol=1e-4, atol=1e-5)
    plainly, _ = trained(compiled("none"))
    jax.tree.map(np.testing.assert_array_equal, kernels, plainly)  # the average does not change training
    is_averaged = bool((np.abs(expected - kernels[-1]) > 1e-3).any())
    assert is_averaged == (average != "none")


def test_held_out_images_are_scored_with_the_average() -> None:
    training = compiled("ema")
    validation = compile_inference(training.learner, drawn_split(SPEC, 40, seed=3), make_mesh())
    *_, last = fit(training, initial_progress(training, 0), validation)
    average = validation.score({"params": last.state.average["params"]})
    assert last.row is not None
    assert last.row["validation_loss"] == average.loss != validation.score({"params": last.state.params}).loss
