"""Small datasets that the tests of several parts use."""

import pytest

from cnn_jax import data
from cnn_jax.data.dataset import Dataset
from tests.conftest import drawn_split


@pytest.fixture(scope="session")
def drawn_digits() -> Dataset:
    """A few images of MNIST's form whose classes are easy to tell."""
    spec = data.spec("mnist")
    return Dataset(spec, drawn_split(spec, 300, seed=1), drawn_split(spec, 200, seed=2), "drawn")


@pytest.fixture(scope="session")
def x_and_o(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return data.load("x_and_o", data_dir=tmp_path_factory.mktemp("x_and_o"))
