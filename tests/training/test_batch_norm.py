"""BatchNorm sees real images alone, is Keras's, and stays apart between seeds and together between devices.

`tests/reference/make_batch_norm_reference.py` made the numbers with Keras 3 and says how.
"""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from cnn_jax import Config, Dataset, Experiment, InputError, Part, compilation
from cnn_jax.experiment import build
from cnn_jax.ops.interception import stock_layers
from cnn_jax.training.compiled import compile_inference, compile_training
from cnn_jax.training.learner import Keys
from cnn_jax.training.loop import fit, initial_progress
from cnn_jax.training.mesh import make_mesh
from cnn_jax.training.state import TrainState
from cnn_jax.training.step import make_step

REFERENCE = Path(__file__).parents[1] / "reference" / "batch_norm_reference.npz"


class Net(nn.Module):
    """The network of the reference."""

    classes: int
    dropout: float = 0.0

    @nn.compact
    def __call__(self, images: jax.Array, *, train: bool = False) -> jax.Array:
        x = nn.Conv(4, (3, 3), use_bias=False, name="conv")(images)
        x = nn.relu(nn.BatchNorm(use_running_average=not train, momentum=0.9, epsilon=1e-3, name="norm")(x))
        x = nn.Dropout(self.dropout, deterministic=not train)(x.mean((1, 2)))
        return nn.Dense(self.classes, name="dense")(x)


def dataset(examples: int = 40) -> Dataset:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (examples, 12, 12, 1), dtype=np.uint8)
    labels = np.arange(examples) % 10
    return Dataset.from_arrays(images, labels, images[:20], labels[:20])


def experiment(**fields: Any) -> Experiment:
    found = dataset()
    config = Config(dataset=Part("noise"), model=Part("net"), **{"batch_size": 16, "epochs": 1, **fields})
    return Experiment(config, datasets={"noise": lambda: found}, models={"net": Net})


@pytest.fixture(scope="module")
def reference() -> dict[str, np.ndarray]:
    with np.load(REFERENCE, allow_pickle=False) as file:
        return dict(file)


def variables(reference: dict[str, np.ndarray], prefix: str) -> tuple[dict, dict]:
    def of(layer: str, **names: str) -> dict:
        return {ours: jnp.asarray(reference[f"{prefix}/{layer}/{theirs}"]) for ours, theirs in names.items()}

    params = {
        "conv": of("conv", kernel="kernel"),
        "norm": of("norm", scale="gamma", bias="beta"),
        "dense": of("dense", kernel="kernel", bias="bias"),
    }
    return params, {"batch_stats": {"norm": of("norm", mean="moving_mean", var="moving_variance")}}


@pytest.mark.slow
def test_three_updates_and_running_averages_are_those_of_keras(reference: dict[str, np.ndarray]) -> None:
    learner = build(experiment())
    params, model_state = variables(reference, "initial")
    optimizer = learner.optimizer_for(1e-3, 3)
    state = TrainState(jnp.int32(0), params, model_state, {}, optimizer.init(params), jax.random.key(0))
    step = jax.jit(make_step(learner, 1e-3, 3))
    for number, (first, last) in enumerate([(0, 16), (16, 32), (32, 37)]):
        # The last batch has five images; its other rows repeat the first one, as in training, and must not count.
        rows = np.concatenate([np.arange(first, last), np.zeros(16 - (last - first), int)])
        mask = np.arange(16) < last - first
        state, sums = step(state, reference["images"][rows], reference["labels"][rows], mask)
        np.testing.assert_allclose(sums.loss / sums.count, reference["loss"][number], atol=1e-5)
        expected = variables(reference, f"after{number + 1}")
        jax.tree.map(
            lambda ours, keras: np.testing.assert_allclose(ours, keras, atol=1e-5),
            (state.params, state.model_state),
            expected,
        )


@pytest.mark.slow
def test_each_part_of_a_batch_has_its_own_statistics_and_one_without_images_none() -> None:
    """16 rows in 8 parts: the third batch has five images, so that three parts have none."""
    of = {count: build(experiment(microbatches=count)) for count in (1, 8)}
    images, labels = dataset().train.images[:16], dataset().train.labels[:16].astype(np.int32)
    start = compilation.jit(of[1].create_state, runs_once=True)(0)
    for examples in (16, 5):
        mask = np.arange(16) < examples
        after, sums = compilation.jit(make_step(of[8], 1e-3, 3), runs_once=True)(start, images, labels, mask)
        state, key = start.model_state, jax.random.key(0)
        for part in range(min(8, examples)):
            inputs = of[1].inputs(images[part::8])
            _, state = of[1].apply_in_training(start.params, state, inputs, jnp.asarray(mask[part::8]), key)
        assert_close(after.model_state, state)
        assert sums.count == examples
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(after.params))


def trained(num_seeds: int | None, devices: int, seed: int = 0, **settings: Any) -> TrainState:
    learner = build(experiment().vary(**settings))
    mesh = make_mesh(num_seeds or 1, jax.devices()[:devices])
    training = compile_training(learner, dataset().train, mesh, num_seeds)
    seeds = seed if num_seeds is None else list(range(num_seeds))
    [*_, last] = fit(training, initial_progress(training, seeds))
    return jax.device_get(last.state)


def assert_close(one: Any, other: Any) -> None:
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), one, other)


@pytest.mark.slow
@pytest.mark.devices(4)
def test_devices_share_the_statistics_of_a_batch() -> None:
    """40 images in batches of 16: the last batch leaves rows of the devices empty."""
    one, four = (trained(None, devices) for devices in (1, 4))
    assert_close((one.params, one.model_state), (four.params, four.model_state))


@pytest.mark.slow
def test_seeds_that_train_together_have_statistics_of_their_own() -> None:
    together, alone = trained(2, 1), trained(None, 1)
    assert_close(jax.tree.map(lambda leaf: leaf[0], together.model_state), alone.model_state)
    means = together.model_state["batch_stats"]["norm"]["mean"]
    assert not np.allclose(means[0], means[1])


@pytest.mark.slow
def test_scoring_uses_the_running_averages_and_no_dropout() -> None:
    learner = build(experiment().vary(dropout=0.5))
    state = trained(None, 1)
    inference = compile_inference(learner, dataset().test, make_mesh())
    logits = inference.logits(state.variables)
    net = Net(10)
    expected = net.apply(state.variables, dataset().test.images.astype(np.float32) / 255, train=False)
    np.testing.assert_allclose(logits, expected, atol=1e-5)
    alone = compile_inference(learner, dataset().test[:1], make_mesh()).logits(state.variables)
    np.testing.assert_allclose(alone, logits[:1], atol=1e-5)  # the other images of a batch make no difference


@pytest.mark.slow
def test_dropout_is_a_function_of_seed_and_step_alone() -> None:
    one, again, without = (trained(None, 1, seed=3, dropout=dropout) for dropout in (0.5, 0.5, 0.0))
    assert all(np.array_equal(a, b) for a, b in zip(*map(jax.tree.leaves, (one.params, again.params)), strict=True))
    assert not np.allclose(one.params["dense"]["kernel"], without.params["dense"]["kernel"])
    learner, state = build(experiment().vary(dropout=0.5)), one

    def logits(step: int) -> np.ndarray:
        key, inputs = Keys.of_step(jax.random.key(3), step).module, learner.inputs(dataset().train.images[:16])
        return np.asarray(learner.apply_in_training(state.params, state.model_state, inputs, np.ones(16, bool), key)[0])

    np.testing.assert_array_equal(logits(7), logits(7))
    assert not np.allclose(logits(7), logits(8))


@pytest.mark.slow
def test_an_average_gets_the_statistics_of_the_averaged_network() -> None:
    """The statistics of the training network belong to other parameters."""
    found = experiment(average="ema", epochs=2)
    learner = build(found)
    training = compile_training(learner, dataset().train, make_mesh())
    [*_, last] = fit(training, initial_progress(training, 0))
    settled = jax.device_get(training.settled(last.state))
    inputs = dataset().train.images.astype(np.float32) / 255
    conv = nn.Conv(4, (3, 3), use_bias=False).apply({"params": settled.average["params"]["conv"]}, inputs)
    mean = settled.variables["batch_stats"]["norm"]["mean"]
    # Two whole batches of 16 of the 40 images: near the mean over all of them, and no running average of training.
    np.testing.assert_allclose(mean, np.mean(conv, axis=(0, 1, 2)), atol=0.01)
    assert not np.allclose(mean, settled.model_state["batch_stats"]["norm"]["mean"], atol=0.01)
    assert settled.variables["params"] is settled.average["params"]


def test_an_axis_name_is_refused_in_one_line() -> None:
    class Named(nn.Module):
        classes: int

        @nn.compact
        def __call__(self, images: jax.Array, *, train: bool = False) -> jax.Array:
            return nn.Dense(self.classes)(nn.BatchNorm(not train, axis_name="batch")(images).reshape(len(images), -1))

    found = dataset()
    named = Experiment(
        Config(dataset=Part("noise"), model=Part("named")), datasets={"noise": lambda: found}, models={"named": Named}
    )
    with pytest.raises(InputError, match="axis_name='batch' has no meaning here"):
        build(named)


@pytest.mark.slow
@pytest.mark.parametrize("form", ["last axis by number", "by keyword", "flattened", "of the mean", "exact variance"])
def test_every_form_of_the_layer_sees_real_images_alone(form: str) -> None:
    """Rows without an image are filled with noise here: the statistics must not change."""

    class Formed(nn.Module):
        @nn.compact
        def __call__(self, x: jax.Array) -> jax.Array:
            if form == "last axis by number":
                return nn.BatchNorm(use_running_average=False, axis=3)(x)
            if form == "by keyword":
                return nn.BatchNorm(use_running_average=False)(x=x)
            if form == "flattened":
                return nn.BatchNorm(use_running_average=False)(x.reshape(-1, x.shape[-1]))
            if form == "of the mean":
                return nn.BatchNorm(use_running_average=False, axis=1)(x.mean((1, 2)))
            return nn.BatchNorm(use_running_average=False, use_fast_variance=False)(x)

    images, noise = (jax.random.normal(jax.random.key(seed), (8, 5, 6, 3)) for seed in (0, 1))
    mask = jnp.arange(8) < 5
    filled = jnp.where(mask[:, None, None, None], images, 100 * noise)
    variables = Formed().init(jax.random.key(0), images)
    with stock_layers(mask=mask):
        _, found = Formed().apply(variables, filled, mutable=["batch_stats"])
    _, expected = Formed().apply(variables, images[:5], mutable=["batch_stats"])
    assert_close(found, expected)


@pytest.mark.slow
def test_settled_statistics_do_not_depend_on_an_earlier_settling() -> None:
    """A run that was stopped has been settled once; its end must be that of a run that was not."""
    learner = build(experiment(average="ema", epochs=2))
    training = compile_training(learner, dataset().train, make_mesh())
    [*_, last] = fit(training, initial_progress(training, 0))
    once = jax.device_get(training.settled(last.state))
    other = jax.tree.map(lambda leaf: leaf + 1, once.average["model_state"])
    again = last.state.replace(average={**last.state.average, "model_state": other})
    assert_close(jax.device_get(training.settled(again)).average, once.average)
