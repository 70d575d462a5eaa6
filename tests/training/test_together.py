"""Many seeds in one program: each is what it would be alone."""

import functools
import math
from typing import Any

import jax
import numpy as np
import pytest

from cnn_jax import data
from cnn_jax.config import Config
from cnn_jax.training import fit as fitting
from cnn_jax.training import mesh as meshes
from cnn_jax.training import metrics, programs, together
from cnn_jax.training.fit import Clock
from cnn_jax.training.programs import Training
from cnn_jax.training.together import Together
from tests.conftest import drawn_split

SPEC = data.spec("mnist")
CONFIG = Config(widths=(4, 8), batch_size=20, epochs=2)
WINOGRAD = Config(widths=(16, 16, 8), batch_size=20, epochs=2)  # in the second layer, from 16 channels to 16
DENSE = Config(model="dense", batch_size=20, epochs=2)
STEPS = 20
SEEDS = (3, 4, 5)


@functools.cache
def training(config: Config = CONFIG, lanes: int | None = None, *, spread: bool = False) -> Training:
    split = drawn_split(SPEC, 190, seed=2)  # ten steps an epoch, the last one smaller
    return programs.compile_training(config, SPEC, split, meshes.over_all_devices(), lanes, spread=spread)


def fitted(training: Training, seeds: tuple[int, ...] = SEEDS, **options: Any) -> list[Together]:
    options = {"epochs": 2, "learning_rate": lambda step: 1 / (1 + step)} | options
    return list(together.fit(training, together.begin(training, seeds), **options))


@pytest.mark.parametrize(
    ("config", "lanes", "spread"),
    [
        *((config, 3, False) for config in (CONFIG, WINOGRAD, DENSE)),
        *(
            pytest.param(config, lanes, True, marks=[pytest.mark.devices(4), *marks])
            for config, lanes, *marks in (
                (CONFIG, 4),
                (CONFIG, 8, pytest.mark.long),
                (WINOGRAD, 4, pytest.mark.long),
                (DENSE, 4, pytest.mark.long),
            )
        ),
    ],
    ids=str,
)
def test_first_20_steps_are_those_of_each_seed_alone(config: Config, lanes: int, spread: bool) -> None:
    """To 1e-5. Later they need not be: training makes every rounding larger."""
    alone = training(config)
    last = fitted(training(config, lanes, spread=spread))[-1]
    assert last.step == STEPS
    for index, seed in enumerate(SEEDS):
        *_, expected = fitting.fit(alone, fitting.begin(alone, seed), epochs=2, learning_rate=lambda step: 0.0)
        found = last.alone(index)
        jax.tree.map(
            functools.partial(np.testing.assert_allclose, rtol=0, atol=1e-5),
            jax.device_get(found.state.params),
            jax.device_get(expected.state.params),
        )
        assert found.train is not None
        assert expected.train is not None
        assert found.train.loss == pytest.approx(expected.train.loss, abs=1e-5)
        assert (found.step, found.images, found.train.accuracy) == (STEPS, 380, expected.train.accuracy)
        keys = [np.asarray(jax.random.key_data(state.key)) for state in (found.state, expected.state)]
        np.testing.assert_array_equal(*keys)


def test_seeds_differ_and_their_order_does_not_matter() -> None:
    one, other = fitted(training(lanes=3))[-1], fitted(training(lanes=3), SEEDS[::-1])[-1]
    assert len({score.loss for score in one.scores if score}) == 3
    assert one.scores == other.scores[::-1]


def test_each_epoch_ends_with_a_row_of_each_seed_and_their_mean() -> None:
    *_, last = fitted(training(lanes=3))
    assert last.row is not None
    assert [row["epoch"] for row in last.rows] == [2, 2, 2]
    assert last.row["train_loss"] == pytest.approx(np.mean([row["train_loss"] for row in last.rows]))
    assert last.row["seconds"] == pytest.approx(sum(row["seconds"] for row in last.rows))
    assert (last.row["epoch"], last.row["step"], last.row["learning_rate"]) == (2, STEPS, 1 / STEPS)


def test_held_out_images_are_scored_for_each_seed() -> None:
    held_out = drawn_split(SPEC, 40, seed=3)
    validation = programs.compile_inference(CONFIG, SPEC, held_out, meshes.over_all_devices())
    last = fitted(training(lanes=3), validation=validation)[-1]
    scores = [validation.score(last.alone(index).state.params) for index in range(3)]
    assert [row["validation_loss"] for row in last.rows] == [score.loss for score in scores]
    assert len({score.loss for score in scores}) == 3


def with_bad_lane(training: Training, bad: tuple[int, ...]) -> Together:
    """The beginning, with weights that are no numbers in these lanes."""
    state, lanes = training.start(SEEDS), np.isin(np.arange(3), bad)

    def spoilt(leaf: jax.Array) -> jax.Array:
        return leaf * np.where(lanes, math.nan, 1.0).astype(np.float32).reshape(-1, *[1] * (leaf.ndim - 1))

    broken = state.replace(params=jax.tree.map(spoilt, state.params))
    return together.at(training, broken, training.zeros(), 0, Clock(), 3)


def test_seed_that_diverges_leaves_the_others_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fitting, "CHUNK_SECONDS", 0.0)
    options: dict[str, Any] = {"epochs": 2, "learning_rate": lambda step: 0.0}
    *_, last = together.fit(training(lanes=3), with_bad_lane(training(lanes=3), (1,)), **options)
    undisturbed = fitted(training(lanes=3))[-1]
    assert last.diverged_at == (None, 1, None)  # which the second epoch has not forgotten
    assert (last.scores[0], last.scores[1], last.scores[2]) == (undisturbed.scores[0], None, undisturbed.scores[2])
    assert [bool(row) for row in last.rows] == [True, False, True]
    assert last.train is not None
    assert math.isfinite(last.train.loss)


def test_training_ends_where_all_have_diverged() -> None:
    options: dict[str, Any] = {"epochs": 2, "learning_rate": lambda step: 0.0}
    *_, last = together.fit(training(lanes=3), with_bad_lane(training(lanes=3), (0, 1, 2)), **options)
    assert (last.step, last.row, last.diverged_at) == (1, None, (1, 1, 1))


def test_sums_start_at_zero_in_every_lane() -> None:
    assert jax.tree.map(lambda leaf: leaf.shape, training(lanes=3).zeros()) == jax.tree.map(
        lambda leaf: (3,), metrics.zeros()
    )
