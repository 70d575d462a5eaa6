"""Order, step, loop and inference: exact whatever the cut, the batch size or the number of devices."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.sharding import Mesh

from cnn_jax import data
from cnn_jax.data.augmentations import Mixed
from cnn_jax.errors import InputError
from cnn_jax.experiment import Experiment, build
from cnn_jax.training import metrics
from cnn_jax.training.compiled import Training, compile_inference, compile_training
from cnn_jax.training.mesh import make_mesh, padded
from cnn_jax.training.step import batch_indices, make_step
from tests.conftest import drawn_split

SPEC = data.spec("mnist")
CNN = Experiment().vary(widths=(4, 8), batch_size=10, epochs=1)


def mesh_of(devices: int) -> Mesh:
    return make_mesh(devices=jax.devices()[:devices])


@functools.cache
def training(devices: int, experiment: Experiment = CNN, examples: int = 73) -> Training:
    split = drawn_split(SPEC, examples, seed=5)
    return compile_training(build(experiment, SPEC), split, mesh_of(devices))


def trained(training: Training, cuts: list[int], seed: int = 0) -> tuple[dict, metrics.MetricSums]:
    """Parameters and sums of one epoch that is run in chunks with these ends."""
    state, sums = training.create_state(seed), training.zeros()
    indices = training.batch_indices(state.key, 1)
    for first, last in zip([0, *cuts], [*cuts, training.epoch_steps], strict=True):
        state, sums = training.chunk(state, sums, indices, first, last)
    return jax.device_get(state.params), jax.device_get(sums)


def equal(one: object, other: object) -> bool:
    return all(jax.tree.leaves(jax.tree.map(lambda a, b: (np.asarray(a) == np.asarray(b)).all(), one, other)))


@pytest.mark.slow
@settings(max_examples=8)
@given(st.integers(1, 60), st.integers(1, 60), st.integers(0, 5), st.integers(1, 1000))
def test_order_is_a_permutation_with_holes_only_at_the_end_of_batches(
    examples: int, batch_size: int, fill: int, epoch: int
) -> None:
    batch_size = min(batch_size, examples)
    indices = jax.jit(batch_indices, static_argnums=(2, 3, 4))
    order = np.asarray(indices(jax.random.key(0), jnp.int32(epoch), examples, batch_size, batch_size + fill))
    assert order.shape == (-(-examples // batch_size), batch_size + fill)
    assert sorted(order[order >= 0]) == list(range(examples))
    assert (order[:, batch_size:] == -1).all()
    assert (order[:-1, :batch_size] >= 0).all()


def test_order_differs_from_epoch_to_epoch_and_is_a_function_of_key_and_epoch() -> None:
    orders = [np.asarray(batch_indices(jax.random.key(3), jnp.int32(e), 100, 10, 10)) for e in (1, 2, 1)]
    assert (orders[0] != orders[1]).any()
    assert (orders[0] == orders[2]).all()


@settings(max_examples=10)
@given(st.lists(st.integers(0, 8), max_size=4).map(sorted))
def test_any_cut_into_chunks_gives_the_same_bits(cuts: list[int]) -> None:
    assert equal(trained(training(1), cuts), trained(training(1), []))


@pytest.mark.slow
def test_last_smaller_batch_is_trained_on() -> None:
    params, sums = trained(training(1), [])
    assert sums.count == 73
    without, _ = trained(training(1, examples=70), [])
    assert not equal(params, without)


@pytest.mark.devices(4)
def test_four_devices_train_as_one() -> None:
    """To rounding: the sums run in another order. The batch of 10 does not even divide by 4."""
    params, sums = trained(training(1), [])
    sharded_params, sharded_sums = trained(training(4), [])
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-3, atol=1e-4), params, sharded_params)
    np.testing.assert_allclose(sums.loss, sharded_sums.loss, rtol=1e-4)
    assert sums.count == sharded_sums.count


def test_seed_decides_everything() -> None:
    first, again, other = (trained(training(1), [], seed) for seed in (1, 1, 2))
    assert equal(first, again)
    assert not equal(first, other)


@pytest.mark.slow
def test_batch_larger_than_the_data_is_the_whole_data() -> None:
    all_at_once = training(1, CNN.vary(batch_size=1000), 20)
    assert all_at_once.epoch_steps == 1
    assert trained(all_at_once, [])[1].count == 20


@pytest.mark.slow
@pytest.mark.parametrize("learning_rate", [1e30, 1e300])  # the second one is infinity in float32
def test_loss_that_is_not_finite_names_its_step(learning_rate: float) -> None:
    wild = training(1, CNN.vary(learning_rate=learning_rate, optimizer="sgd"))
    assert 1 <= trained(wild, [])[1].diverged_at <= 4


@pytest.mark.slow
def test_gradient_that_is_not_finite_is_noticed_at_its_step() -> None:
    program = training(1, Experiment().vary(model="logistic", batch_size=20), 90)
    one_step = jax.jit(make_step(program.learner, program.learner.learning_rate, 5))
    state = program.create_state(0)
    huge = jax.tree.map(lambda leaf: jnp.full_like(leaf, 3e38), state.params)
    _, sums = one_step(state.replace(params=huge), program.images[:20], program.targets[:20], jnp.ones(20, bool))
    assert int(sums.diverged_at) == 1


@pytest.mark.slow
@pytest.mark.parametrize("schedule", ["constant", "cosine", "onecycle"])
def test_one_program_serves_every_learning_rate(schedule: str) -> None:
    slow, fast = (training(1, CNN.vary(schedule=schedule, learning_rate=rate)) for rate in (1e-3, 3e-3))
    assert equal(trained(slow.replace(learning_rate=3e-3), []), trained(fast, []))
    assert not equal(trained(slow, [])[0], trained(fast, [])[0])


@pytest.mark.slow
@pytest.mark.parametrize("devices", [1, pytest.param(4, marks=[pytest.mark.devices(4), pytest.mark.slow])])
def test_batch_in_parts_is_trained_on_as_the_whole_batch(devices: int) -> None:
    """The last batch has 3 images, fewer than there are parts; on 4 devices, 10 rows become 12 or 20."""
    own = Experiment(CNN.config, augmentations={"mixtures": mixtures})
    experiment = own.vary(augment=("shift", "mixtures"), optimizer="momentum", learning_rate=0.1)
    whole, parts = (training(devices, experiment.replace(microbatches=count)) for count in (1, 5))
    (params, sums), (params_in_parts, sums_in_parts) = trained(whole, []), trained(parts, [])
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=0, atol=1e-6), params_in_parts, params)
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-5), sums_in_parts, sums)
    assert sums_in_parts.count == 73
    # Each of 4 devices has 3 images of a batch: most of its memory is for the state and the dataset.
    assert parts.memory_bytes < (0.8 if devices == 1 else 1.0) * whole.memory_bytes


def mixtures(key: jax.Array, images: jax.Array) -> Mixed:
    """Each image with its neighbour, so that rows that fill up a batch for the devices have no part in it."""
    partners, weight = jnp.arange(len(images)) ^ 1, jax.random.uniform(key, images.shape[:1])
    own = weight[:, None, None, None]
    return Mixed(own * images + (1 - own) * images[partners], partners, weight)


@pytest.mark.slow
def test_reported_gradient_norm_is_that_before_clipping() -> None:
    one_step = CNN.vary(model="logistic", batch_size=73, optimizer="sgd", learning_rate=1.0)
    (free, sums), (clipped, same) = (
        trained(training(1, one_step), []),
        trained(training(1, one_step.vary(clip_norm=0.01)), []),
    )
    assert sums.gradient_norm == same.gradient_norm > 0.01
    start = jax.device_get(training(1, one_step).create_state(0).params)
    moved = [optax.tree.norm(jax.tree.map(lambda a, b: a - b, end, start)) for end in (free, clipped)]
    np.testing.assert_allclose(moved, [sums.gradient_norm, 0.01], rtol=1e-4)


@pytest.mark.parametrize("batch_size", [1, 7, 30, 1000])
@pytest.mark.parametrize("devices", [1, pytest.param(4, marks=pytest.mark.devices(4))])
def test_inference_gives_the_same_logits_at_any_batch_size(batch_size: int, devices: int) -> None:
    split = drawn_split(SPEC, 30, seed=1)
    learner = build(CNN, SPEC)
    variables = jax.device_get(training(1).create_state(0).variables)
    inference = compile_inference(learner, split, mesh_of(devices), batch_size)
    reference = jax.jit(learner.apply)(variables, split.images)  # without batches
    assert inference.logits(variables).shape == (30, 10)
    np.testing.assert_allclose(inference.logits(variables), reference, rtol=1e-4, atol=1e-5)
    assert inference.score(variables).examples == 30


@pytest.mark.devices(4)
def test_rows_for_devices_are_the_smallest_even_split() -> None:
    assert [padded(batch, mesh_of(4)) for batch in (1, 4, 5, 64)] == [4, 4, 8, 64]
    assert [padded(batch, mesh_of(4), microbatches=3) for batch in (1, 12, 64)] == [12, 12, 72]


def test_parts_that_do_not_divide_the_batch_are_refused() -> None:
    with pytest.raises(InputError, match=r"^--microbatches=3: does not divide --batch_size=10\.$"):
        build(CNN.vary(microbatches=3), SPEC)
