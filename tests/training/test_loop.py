"""The loop: what it yields, and how it ends."""

import math

import jax
import numpy as np
import pytest

from cnn_jax import data
from cnn_jax.errors import DivergedError
from cnn_jax.experiment import Experiment, build
from cnn_jax.training import loop
from cnn_jax.training.compiled import Inference, Training, compile_inference, compile_training
from cnn_jax.training.loop import Clock, Progress, fit, initial_progress, progress_at, train
from cnn_jax.training.mesh import make_mesh
from tests.conftest import drawn_split

SPEC = data.spec("mnist")
SETTINGS = {"widths": (4, 8), "batch_size": 20, "epochs": 3, "schedule": "cosine", "learning_rate": 0.01}
LEARNER = build(Experiment().vary(SETTINGS), SPEC)


@pytest.fixture(scope="module")
def training() -> Training:
    return compile_training(LEARNER, drawn_split(SPEC, 90, seed=2), make_mesh())


def run(training: Training, validation: Inference | None = None) -> list[Progress]:
    return list(fit(training, initial_progress(training, 0), validation))


@pytest.mark.slow
def test_each_epoch_ends_with_its_row(training: Training) -> None:
    rows = [progress.row for progress in run(training) if progress.row]
    assert [(row["epoch"], row["step"]) for row in rows] == [(1, 5), (2, 10), (3, 15)]
    last_steps = [0.01 * (1 + math.cos(math.pi * step / 15)) / 2 for step in (4, 9, 14)]  # counted from 0
    assert [row["learning_rate"] for row in rows] == pytest.approx(last_steps, rel=1e-5)
    for row in rows:
        np.testing.assert_allclose(row["images_per_second"] * row["seconds"], 90)
    assert rows[2]["train_loss"] < rows[0]["train_loss"]


@pytest.mark.slow
def test_row_has_the_norms_of_gradients_and_parameters(training: Training) -> None:
    def norm(tree: object) -> float:
        return math.sqrt(sum(float(np.sum(np.square(leaf, dtype=np.float64))) for leaf in jax.tree.leaves(tree)))

    first = next(progress for progress in fit(training, initial_progress(training, 0)) if progress.row)
    assert first.row is not None
    np.testing.assert_allclose(first.row["parameter_norm"], norm(jax.device_get(first.state.params)), rtol=1e-5)

    def mean_loss(params: dict, rows: np.ndarray) -> jax.Array:
        logits = LEARNER.apply({"params": params}, training.images[rows])
        return LEARNER.measures.loss(logits, training.targets[rows]).mean()

    state, sums, norms = training.create_state(0), training.zeros(), []
    indices = training.batch_indices(state.key, 1)
    for step in range(training.epoch_steps):
        rows = np.asarray(indices[step])
        norms.append(norm(jax.jit(jax.grad(mean_loss))(state.params, rows[rows >= 0])))
        state, sums = training.chunk(state, sums, indices, step, step + 1)
    np.testing.assert_allclose(first.row["gradient_norm"], np.mean(norms), rtol=1e-3)


def test_progress_adds_up(training: Training) -> None:
    last = run(training)[-1]
    assert (last.epoch, last.step, last.images, last.finished_epochs) == (3, 15, 270, 3)
    assert int(last.state.step) == 15
    assert last.train.examples == 90
    np.testing.assert_allclose(last.images_per_second * (last.clock.device + last.clock.host), 270)


def test_size_of_chunks_changes_no_bit(training: Training, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "CHUNK_SECONDS", 0.0)
    singly = run(training)
    monkeypatch.setattr(loop, "CHUNK_SECONDS", 1e9)
    assert len(singly) == 15
    wholly = run(training)
    assert len(wholly) < 15
    jax.tree.map(np.testing.assert_array_equal, singly[-1].state.params, wholly[-1].state.params)
    assert singly[-1].train == wholly[-1].train


def test_held_out_images_are_scored_each_epoch_and_change_nothing(training: Training) -> None:
    held_out = drawn_split(SPEC, 40, seed=3)
    validation = compile_inference(LEARNER, held_out, make_mesh())
    watched, alone = run(training, validation=validation)[-1], run(training)[-1]
    assert watched.row is not None
    assert watched.row["validation_loss"] == validation.score(watched.state.variables).loss
    jax.tree.map(np.testing.assert_array_equal, watched.state.params, alone.state.params)


def test_divergence_names_epoch_and_step(training: Training) -> None:
    state = training.create_state(0)
    broken = state.replace(params=jax.tree.map(lambda leaf: leaf * math.nan, state.params))
    with pytest.raises(DivergedError, match="epoch 1 at step 1"):
        list(fit(training, progress_at(training, broken, training.zeros(), Clock())))


def test_train_is_the_loop_from_the_beginning_to_the_end(training: Training) -> None:
    seen: list[int] = []
    last, rows = train(training, 0, lambda progress: seen.append(progress.step))
    expected = run(training)[-1]
    jax.tree.map(np.testing.assert_array_equal, last.state.params, expected.state.params)
    assert [row["epoch"] for row in rows] == [1, 2, 3]
    assert seen[-1] == 15


@pytest.mark.parametrize("is_checked", [False, True], ids=["by itself", "--jax_debug_nans"])
def test_too_large_learning_rate_ends_with_the_step_that_diverged(training: Training, is_checked: bool) -> None:
    with jax.debug_nans(is_checked), pytest.raises(DivergedError, match="epoch 1 at step 2"):
        run(training.replace(learning_rate=1e30))
