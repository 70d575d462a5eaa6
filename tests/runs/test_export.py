"""An exported model gives the same numbers in other programs."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np
import pytest

from cnn_jax import data
from cnn_jax.errors import InputError
from cnn_jax.experiment import Experiment, build_module
from cnn_jax.models import summary
from cnn_jax.report.console import Console
from cnn_jax.runs.execute import execute
from cnn_jax.runs.options import RunOptions
from cnn_jax.studies import export

TINY = Experiment().vary(experiment="tiny", dataset="x_and_o", widths=(4, 8), train_examples=300, epochs=1)

# This program may import jax and numpy alone. Its number of images differs from all batch sizes in training.
ELSEWHERE = """
import sys
import jax, numpy as np
assert not [name for name in sys.modules if name.startswith(("flax", "cnn_jax", "optax"))]
images = np.load(sys.argv[2])
exported = jax.export.deserialize(bytearray(open(sys.argv[1], "rb").read()))
assert set(exported.platforms) == {"cpu", "cuda", "tpu"}
np.save(sys.argv[3], exported.call(images))
"""


@pytest.fixture(scope="module")
def finished_run(drawn_data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    workdir = tmp_path_factory.mktemp("finished") / "run"
    execute(TINY, RunOptions(workdir=workdir, data_dir=drawn_data_dir), Console(progress=False))
    return workdir


@pytest.mark.slow
def test_parameters_have_the_names_and_shapes_of_the_summary(finished_run: Path, tmp_path: Path) -> None:
    path = export.run(RunOptions(workdir=finished_run), output=tmp_path / "parameters.npz")
    layers = summary.layers(build_module(TINY, 2), jax.ShapeDtypeStruct((1, 9, 9, 1), "float32"))
    shapes = {f"{layer.name}/{name}": leaf.shape for layer in layers for name, leaf in layer.params.items()}
    with np.load(path, allow_pickle=False) as arrays:
        assert {name: arrays[name].shape for name in arrays} == shapes


def test_stablehlo_file_gives_the_same_logits_with_jax_alone(
    finished_run: Path, drawn_data_dir: Path, tmp_path: Path
) -> None:
    path = export.run(RunOptions(workdir=finished_run), format="stablehlo", output=tmp_path / "model")
    images = data.load("x_and_o", data_dir=drawn_data_dir).test.images[:37]
    np.save(tmp_path / "images.npy", images)
    command = [sys.executable, "-c", ELSEWHERE, str(path), str(tmp_path / "images.npy"), str(tmp_path / "logits.npy")]
    subprocess.run(command, check=True, timeout=120, cwd=tmp_path)
    with np.load(finished_run / "predictions.npz", allow_pickle=False) as predictions:
        np.testing.assert_allclose(np.load(tmp_path / "logits.npy"), predictions["logits"][:37], rtol=1e-4, atol=1e-4)


def test_existing_file_is_kept(finished_run: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    with pytest.raises(InputError, match="already exists"):
        export.run(RunOptions(workdir=finished_run), output=tmp_path / "mine")
    assert (tmp_path / "mine").read_text() == "mine"


@pytest.mark.parametrize(("file_format", "name"), [("npz", "a.stablehlo"), ("stablehlo", "a.npz")])
def test_name_of_the_other_format_is_refused(finished_run: Path, tmp_path: Path, file_format: str, name: str) -> None:
    with pytest.raises(InputError, match=f"a file of --format={file_format} ends in .{file_format}"):
        export.run(RunOptions(workdir=finished_run), format=file_format, output=tmp_path / name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("file_format", export.FORMATS)
def test_disk_that_fills_up_leaves_the_earlier_file_and_nothing_else(
    finished_run: Path, tmp_path: Path, full_disk: Callable, file_format: str
) -> None:
    (tmp_path / "model").write_bytes(b"earlier")
    options = RunOptions(workdir=finished_run, overwrite=True)
    with full_disk(1000), pytest.raises(InputError, match="cannot be written: File too large"):
        export.run(options, format=file_format, output=tmp_path / "model")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"model": b"earlier"}


def test_bad_input_is_named(finished_run: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="Did you mean npz"):
        export.run(RunOptions(workdir=finished_run), format="npy")
    with pytest.raises(InputError, match="holds no run"):
        export.run(RunOptions(workdir=tmp_path))
    with pytest.raises(InputError, match="cannot be written"):
        export.run(RunOptions(workdir=finished_run), output=tmp_path / "not" / "there")
