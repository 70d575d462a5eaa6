"""Write a finished run's model for use elsewhere: its parameters for numpy, or the whole model for jax."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict
from jax.export import export, symbolic_shape

from cnn_jax import compilation, data
from cnn_jax.config import Config
from cnn_jax.errors import InputError, unknown_name
from cnn_jax.experiment import build
from cnn_jax.files import atomic_file
from cnn_jax.report.console import Console
from cnn_jax.runs.directory import RunDirectory
from cnn_jax.runs.finished import load_params
from cnn_jax.runs.options import RunOptions

FORMATS = {"npz": "parameters.npz", "stablehlo": "model.stablehlo"}
PLATFORMS = ("cpu", "cuda", "tpu")


def run(options: RunOptions, *, format: str = "npz", output: Path | None = None) -> Path:
    """Writes the file and returns its path. output: the file; by default it is in the run's directory.

    Raises InputError when there is no finished run, the format is unknown, or the file exists or cannot be written.
    """
    if options.workdir is None:
        raise InputError("--mode=export: name the run with --workdir=RUN.")
    if format not in FORMATS:
        raise unknown_name("--format", format, "format", FORMATS)
    compilation.start(persistent_cache=False)
    directory = RunDirectory(options.workdir)
    config = directory.config()
    directory.finished_result()  # raises when the run is not finished, before the file is looked at
    path = output or options.workdir / FORMATS[format]
    if path.exists() and not options.overwrite:
        raise InputError(f"--output={path}: already exists. Name another file, or use --overwrite.")
    params = load_params(directory)
    try:
        if format == "npz":
            _write_npz(path, params)
        else:
            _write_stablehlo(path, config, params)
    except OSError as error:
        raise InputError(f"--output={path}: cannot be written: {error.strerror}.") from None
    Console().line(f"{path} written, {path.stat().st_size:,} bytes")
    return path


def _write_npz(path: Path, params: dict) -> None:
    """Stores the parameters under their paths in the model, for example `Conv_0/kernel`, for `numpy.load`."""
    with atomic_file(path) as stream:
        np.savez(stream, allow_pickle=False, **flatten_dict(params, sep="/"))


def _write_stablehlo(path: Path, config: Config, params: dict) -> None:
    """Stores the function from images to logits as StableHLO, with the parameters in it.

    Images: uint8 [N, H, W, C] with any N, as in the dataset. Logits: float32 [N, classes], or a dict of them by output.
    To read it: `jax.export.deserialize(bytearray(path.read_bytes())).call(images)`. The program uses XLA's own
    operators, so that it runs on every platform.
    """
    learner = build(config, data.spec(config.dataset), fused=False)

    def infer(images: jax.Array) -> Any:
        return learner.apply(params, images)

    shape = symbolic_shape(", ".join(["batch", *map(str, learner.spec.image_shape)]))
    exported = export(jax.jit(infer), platforms=PLATFORMS)(jax.ShapeDtypeStruct(shape, jnp.uint8))
    with atomic_file(path) as stream:
        stream.write(exported.serialize())
