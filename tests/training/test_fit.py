"""The loop: what it yields, and how it ends."""

import math

import jax
import numpy as np
import pytest

from cnn_jax import data
from cnn_jax.config import Config
from cnn_jax.errors import DivergedError
from cnn_jax.training import fit as fitting
from cnn_jax.training import mesh as meshes
from cnn_jax.training import metrics, programs
from cnn_jax.training.fit import Clock, Progress, at, begin, fit
from tests.conftest import drawn_split

SPEC = data.spec("mnist")
CONFIG = Config(widths=(4, 8), batch_size=20, epochs=3)


@pytest.fixture(scope="module")
def training() -> programs.Training:
    return programs.compile_training(CONFIG, SPEC, drawn_split(SPEC, 90, seed=2), meshes.over_all_devices())


def run(training: programs.Training, **options: object) -> list[Progress]:
    return list(fit(training, begin(training, 0), epochs=3, learning_rate=lambda step: 1 / (1 + step), **options))


def test_each_epoch_ends_with_its_row(training: programs.Training) -> None:
    rows = [progress.row for progress in run(training) if progress.row]
    assert [(row["epoch"], row["step"]) for row in rows] == [(1, 5), (2, 10), (3, 15)]
    assert [row["learning_rate"] for row in rows] == [1 / 5, 1 / 10, 1 / 15]  # of the epoch's last step
    for row in rows:
        np.testing.assert_allclose(row["images_per_second"] * row["seconds"], 90)
    assert rows[2]["train_loss"] < rows[0]["train_loss"]


def test_progress_adds_up(training: programs.Training) -> None:
    last = run(training)[-1]
    assert (last.epoch, last.step, last.images, last.finished_epochs) == (3, 15, 270, 3)
    assert int(last.state.step) == 15
    assert last.train.examples == 90
    np.testing.assert_allclose(last.images_per_second * (last.clock.device + last.clock.host), 270)


def test_size_of_chunks_changes_no_bit(training: programs.Training, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fitting, "CHUNK_SECONDS", 0.0)
    singly = run(training)
    monkeypatch.setattr(fitting, "CHUNK_SECONDS", 1e9)
    assert len(singly) == 15
    wholly = run(training)
    assert len(wholly) < 15
    jax.tree.map(np.testing.assert_array_equal, singly[-1].state.params, wholly[-1].state.params)
    assert singly[-1].train == wholly[-1].train


def test_held_out_images_are_scored_each_epoch_and_change_nothing(training: programs.Training) -> None:
    held_out = drawn_split(SPEC, 40, seed=3)
    validation = programs.compile_inference(CONFIG, SPEC, held_out, meshes.over_all_devices())
    watched, alone = run(training, validation=validation)[-1], run(training)[-1]
    assert watched.row is not None
    assert watched.row["validation_loss"] == validation.score(watched.state.params).loss
    jax.tree.map(np.testing.assert_array_equal, watched.state.params, alone.state.params)


def test_divergence_names_epoch_and_step(training: programs.Training) -> None:
    state = training.start(0)
    broken = state.replace(params=jax.tree.map(lambda leaf: leaf * math.nan, state.params))
    with pytest.raises(DivergedError, match="epoch 1 at step 1"):
        list(fit(training, at(training, broken, metrics.zeros(), Clock()), epochs=1, learning_rate=lambda step: 0.0))
