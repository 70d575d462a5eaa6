"""Permuted pixels take the CNN's lead away, and nothing from the dense network."""

import numpy as np
import pytest

from cnn_jax import data
from cnn_jax.config import Config
from cnn_jax.data.dataset import Dataset
from cnn_jax.studies.lesson import permutation
from cnn_jax.studies.lesson import permutation_page as report
from cnn_jax.training import mesh as meshes
from cnn_jax.training import programs
from tests.conftest import drawn_split


@pytest.fixture(scope="module")
def drawn() -> Dataset:
    spec = data.spec("mnist")
    return Dataset(spec, drawn_split(spec, 300, seed=1), drawn_split(spec, 200, seed=2), "drawn")


def test_both_models_are_trained_on_both(drawn: Dataset) -> None:
    record = permutation.compute(drawn, seeds=2)
    assert record["accuracies"].shape == (2, 2, 2)
    np.testing.assert_allclose(record["leads"], record["means"][0] - record["means"][1])
    assert not [
        name for name, value in record.items() if isinstance(value, np.ndarray) and name not in permutation.ARRAYS
    ]
    section = report.section(record)
    assert any("lead over the dense network" in block for block in section.blocks if isinstance(block, str))


def test_permuting_beforehand_is_what_the_view_does_in_the_step(drawn: Dataset) -> None:
    mesh = meshes.over_all_devices()
    plain, permuted = (Config(model="logistic", view=view) for view in ("plain", "permuted"))
    params = programs.compile_training(plain, drawn.spec, drawn.train, mesh).start(0).params
    params["Dense_0"]["bias"] += np.arange(10, dtype=np.float32)
    beforehand = permutation._permuted(programs.compile_inference(plain, drawn.spec, drawn.test, mesh))
    in_step = programs.compile_inference(permuted, drawn.spec, drawn.test, mesh)
    np.testing.assert_array_equal(beforehand.logits(params), in_step.logits(params))
