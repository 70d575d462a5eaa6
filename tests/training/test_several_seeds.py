"""Many seeds in one program: each is what it would be alone."""

import functools
import math

import jax
import numpy as np
import pytest

from cnn_jax import data
from cnn_jax.experiment import Experiment, build
from cnn_jax.training import loop, metrics
from cnn_jax.training.compiled import Inference, Training, compile_inference, compile_training
from cnn_jax.training.loop import Clock, Progress, fit, initial_progress, progress_at
from cnn_jax.training.mesh import make_mesh
from tests.conftest import drawn_split

SPEC = data.spec("mnist")
CNN = Experiment().vary(widths=(4, 8), batch_size=20, epochs=2)
WINOGRAD = CNN.vary(widths=(16, 16, 8))  # in the second layer, from 16 channels to 16
DENSE = CNN.vary(model="dense")
KIT = CNN.vary(
    optimizer="muon", weight_decay=0.1, clip_norm=0.5, warmup_steps=5, microbatches=4, loss="focal", learning_rate=1e-4
)
STEPS = 20
SEEDS = (3, 4, 5)


@functools.cache
def training(experiment: Experiment = CNN, num_seeds: int | None = None, devices: int = 1) -> Training:
    split = drawn_split(SPEC, 190, seed=2)  # ten steps an epoch, the last one smaller
    mesh = make_mesh(num_seeds or 1, jax.devices()[:devices])
    return compile_training(build(experiment, SPEC), split, mesh, num_seeds)


def fitted(training: Training, seeds: tuple[int, ...] = SEEDS, validation: Inference | None = None) -> list[Progress]:
    return list(fit(training, initial_progress(training, seeds), validation))


ON_ONE, ALONG_DATA, ALONG_SEED, ALONG_BOTH = (3, 1, (1, 1)), (3, 4, (1, 4)), (4, 4, (4, 1)), (6, 4, (2, 2))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("experiment", "num_seeds", "devices", "shape"),
    [
        (CNN, *ON_ONE),
        *(pytest.param(experiment, *ALONG_BOTH, marks=pytest.mark.devices(4)) for experiment in (CNN, DENSE)),
        *(
            pytest.param(experiment, *ALONG_BOTH, marks=[pytest.mark.devices(4), pytest.mark.slow])
            for experiment in (WINOGRAD, KIT)
        ),
        *(
            pytest.param(CNN, *mesh, marks=[pytest.mark.devices(4), pytest.mark.long])
            for mesh in (ALONG_DATA, ALONG_SEED)
        ),
    ],
    ids=["one device", "along both", "dense", "winograd", "kit", "along data", "along seed"],
)
def test_first_20_steps_are_those_of_each_seed_alone(
    experiment: Experiment, num_seeds: int, devices: int, shape: tuple[int, int]
) -> None:
    """To 1e-5. Later they need not be: training amplifies every rounding error."""
    assert tuple(make_mesh(num_seeds, jax.devices()[:devices]).shape.values()) == shape
    alone, seeds = training(experiment), tuple(range(3, 3 + num_seeds))
    last = fitted(training(experiment, num_seeds, devices), seeds)[-1]
    assert last.step == STEPS
    for index, seed in enumerate(seeds):
        *_, expected = fit(alone, initial_progress(alone, seed))
        found = last.of_seed(index)
        jax.tree.map(
            functools.partial(np.testing.assert_allclose, rtol=0, atol=1e-5),
            jax.device_get(found.state.params),
            jax.device_get(expected.state.params),
        )
        assert found.train is not None
        assert expected.train is not None
        assert found.train.loss == pytest.approx(expected.train.loss, abs=1e-5)
        assert (found.step, found.images, found.train.accuracy) == (STEPS, 380, expected.train.accuracy)
        keys = [np.asarray(jax.random.key_data(one.state.key)) for one in (found, expected)]
        np.testing.assert_array_equal(*keys)


def test_seeds_differ_and_their_order_does_not_matter() -> None:
    one, other = fitted(training(num_seeds=3))[-1], fitted(training(num_seeds=3), SEEDS[::-1])[-1]
    assert len({score.loss for score in one.scores if score}) == 3
    assert one.scores == other.scores[::-1]


def test_each_epoch_ends_with_a_row_of_each_seed_and_their_mean() -> None:
    *_, last = fitted(training(num_seeds=3))
    assert last.row is not None
    assert [row["epoch"] for row in last.rows] == [2, 2, 2]
    assert last.row["train_loss"] == pytest.approx(np.mean([row["train_loss"] for row in last.rows]))
    assert last.row["seconds"] == pytest.approx(sum(row["seconds"] for row in last.rows))
    assert (last.row["epoch"], last.row["step"], last.row["learning_rate"]) == (2, STEPS, CNN.config.learning_rate)


def test_held_out_images_are_scored_for_each_seed() -> None:
    held_out = drawn_split(SPEC, 40, seed=3)
    validation = compile_inference(build(CNN, SPEC), held_out, make_mesh())
    last = fitted(training(num_seeds=3), validation=validation)[-1]
    scores = [validation.score(last.of_seed(index).state.variables) for index in range(3)]
    assert [row["validation_loss"] for row in last.rows] == [score.loss for score in scores]
    assert len({score.loss for score in scores}) == 3


def with_bad_seeds(training: Training, bad: tuple[int, ...]) -> Progress:
    """The beginning, with weights of these seeds that are not finite."""
    state, is_bad = training.create_state(SEEDS), np.isin(np.arange(3), bad)

    def spoilt(leaf: jax.Array) -> jax.Array:
        return leaf * np.where(is_bad, math.nan, 1.0).astype(np.float32).reshape(-1, *[1] * (leaf.ndim - 1))

    broken = state.replace(params=jax.tree.map(spoilt, state.params))
    return progress_at(training, broken, training.zeros(), Clock())


def test_seed_that_diverges_leaves_the_others_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "CHUNK_SECONDS", 0.0)
    *_, last = fit(training(num_seeds=3), with_bad_seeds(training(num_seeds=3), (1,)))
    undisturbed = fitted(training(num_seeds=3))[-1]
    assert last.diverged_at == (None, 1, None)  # which the second epoch has not forgotten
    assert (last.scores[0], last.scores[1], last.scores[2]) == (undisturbed.scores[0], None, undisturbed.scores[2])
    assert [bool(row) for row in last.rows] == [True, False, True]
    assert last.train is not None
    assert math.isfinite(last.train.loss)


def test_training_ends_where_all_have_diverged() -> None:
    *_, last = fit(training(num_seeds=3), with_bad_seeds(training(num_seeds=3), (0, 1, 2)))
    assert (last.step, last.row, last.diverged_at) == (1, None, (1, 1, 1))


def test_sums_start_at_zero_for_every_seed() -> None:
    assert jax.tree.map(lambda leaf: leaf.shape, training(num_seeds=3).zeros()) == jax.tree.map(
        lambda leaf: (3,), metrics.Measures().zeros()
    )
