"""Devices that share a batch train as one, and exchange as little as they can: the gradients, once a step."""

import functools
import math
import re

import jax
import numpy as np
import pytest
from flax import linen as nn

from cnn_jax import data
from cnn_jax.errors import InputError
from cnn_jax.experiment import Experiment, build
from cnn_jax.training import loop
from cnn_jax.training.compiled import Training, compile_training
from cnn_jax.training.mesh import all_along_data, in_words, make_mesh
from tests.conftest import drawn_split

SPEC = data.spec("mnist")
EXAMPLES, BATCH = 190, 16
COLLECTIVE = re.compile(
    r" = (?P<forms>.*?) (?P<name>all-reduce|all-gather|all-to-all|collective-permute|reduce-scatter)"
)
FORM = re.compile(r"[a-z]+[0-9]+\[([0-9,]*)\]")


class Normalized(nn.Module):
    """A network with BatchNorm, whose statistics all devices share."""

    classes: int

    @nn.compact
    def __call__(self, images: jax.Array, *, train: bool = False) -> jax.Array:
        x = nn.BatchNorm(use_running_average=not train, name="norm")(nn.Conv(8, (3, 3))(images))
        return nn.Dense(self.classes)(nn.relu(x).mean((1, 2)))


CNN = Experiment().vary(widths=(4, 8), batch_size=BATCH, epochs=2)
NORMALIZED = Experiment(models={"normalized": Normalized}).vary(model="normalized", batch_size=BATCH, epochs=2)
BOTH = pytest.mark.parametrize("experiment", [CNN, NORMALIZED], ids=["cnn", "batch_norm"])


@functools.cache
def training(experiment: Experiment, devices: int) -> Training:
    mesh = make_mesh(sizes={"data": devices})
    return compile_training(build(experiment, SPEC), drawn_split(SPEC, EXAMPLES, seed=2), mesh)


def exchanged(program: Training) -> list[list[int]]:
    """For each collective of a step, the sizes of the arrays that it exchanges."""
    found = [match for line in program.hlo_text().splitlines() if (match := COLLECTIVE.search(line))]
    assert {match["name"] for match in found} == {"all-reduce"}
    sizes = [
        [math.prod(map(int, filter(None, form.split(",")))) for form in FORM.findall(one["forms"])] for one in found
    ]
    return sorted(sizes, key=sum)


@BOTH
@pytest.mark.slow
@pytest.mark.devices(8)
def test_one_two_four_and_eight_devices_agree(experiment: Experiment) -> None:
    """To rounding: the sums run in another order."""
    one, *others = (loop.train(training(experiment, devices), seed=3)[1] for devices in (1, 2, 4, 8))
    for rows in others:
        for row, expected in zip(rows, one, strict=True):
            assert row["train_loss"] == pytest.approx(expected["train_loss"], abs=1e-5)
            assert row["train_accuracy"] == expected["train_accuracy"]


@pytest.mark.devices(8)
def test_a_step_reduces_the_gradients_once() -> None:
    """Before it, the number of images alone, which the loss is divided by."""
    program = training(CNN, 8)
    count, gradients = exchanged(program)
    assert count == [1]
    assert sum(gradients) >= program.learner.parameters


@pytest.mark.slow
@pytest.mark.devices(8)
def test_a_step_with_batch_norm_reduces_its_sums_and_the_gradients_once() -> None:
    program = training(NORMALIZED, 8)
    *sums, gradients = exchanged(program)
    assert sum(gradients) >= program.learner.parameters - 2 * 8  # but for BatchNorm's own
    assert [sorted(set(sizes)) for sizes in sums] == [[8], [1, 8]]  # BatchNorm's gradients, and its statistics


@pytest.mark.slow
def test_one_device_exchanges_nothing() -> None:
    assert COLLECTIVE.search(training(CNN, 1).hlo_text()) is None


@pytest.mark.devices(8)
def test_axes_have_the_sizes_that_were_asked_for() -> None:
    mesh = make_mesh(6, sizes={"data": 4, "seed": 2})
    assert dict(mesh.shape) == {"seed": 2, "data": 4}
    assert dict(make_mesh(sizes={"data": 4, "seed": 2}).shape) == {"seed": 1, "data": 8}  # of one seed
    assert dict(all_along_data(mesh).shape) == {"seed": 1, "data": 8}
    assert [*make_mesh(sizes={"data": 3}).devices.flat] == jax.devices()[:3]
    assert in_words({"data": 4, "seed": 2}) == "data:4,seed:2"


@pytest.mark.devices(4)
def test_mesh_that_does_not_fit_is_refused() -> None:
    with pytest.raises(InputError, match=r"--mesh=data:4,seed:2: needs 8 devices, and there are 4"):
        make_mesh(2, sizes={"data": 4, "seed": 2})
    with pytest.raises(InputError, match=r"--mesh=seed:2: 3 seeds"):
        make_mesh(3, sizes={"seed": 2})


@pytest.mark.devices(8)
def test_every_device_computes_as_many_rows() -> None:
    program = training(CNN, 8)
    assert program.batch_indices(program.create_state(0).key, np.int32(1)).shape == (12, BATCH)
