"""Write a finished run's model for use elsewhere: its parameters for numpy, or the whole model for jax."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict
from jax.export import export, symbolic_shape

from cnn_jax import compilation
from cnn_jax.errors import InputError, unknown_name
from cnn_jax.experiment import Experiment, build
from cnn_jax.files import atomic_file
from cnn_jax.report.console import Console
from cnn_jax.runs.directory import RunDirectory
from cnn_jax.runs.finished import experiment_of, load_variables
from cnn_jax.runs.options import RunOptions
from cnn_jax.user_code import user_errors

FORMATS = {"npz": "parameters.npz", "stablehlo": "model.stablehlo"}
PLATFORMS = ("cpu", "cuda", "tpu")


def run(
    options: RunOptions, *, experiment: Experiment | None = None, format: str = "npz", output: Path | None = None
) -> Path:
    """Writes the file and returns its path.

    experiment: whose parts the run needs, if any are a user's. output: the file; by default in the run's directory.
    Raises InputError when there is no finished run, the format is unknown, or the file exists or cannot be written.
    """
    if options.workdir is None:
        raise InputError("--mode=export: name the run with --workdir=RUN.")
    if format not in FORMATS:
        raise unknown_name("--format", format, "format", FORMATS)
    compilation.start(persistent_cache=False)
    directory, console = RunDirectory(options.workdir), Console()
    experiment = experiment_of(directory, experiment, console)
    directory.finished_result()  # raises when the run is not finished, before the file is looked at
    path = output or options.workdir / FORMATS[format]
    suffixes = {name: Path(file).suffix for name, file in FORMATS.items()}
    if path.suffix != suffixes[format] and path.suffix in suffixes.values():
        raise InputError(f"--output={path}: a file of --format={format} ends in {suffixes[format]}.")
    if path.exists() and not options.overwrite:
        raise InputError(f"--output={path}: already exists. Name another file, or use --overwrite to replace it.")
    variables = load_variables(directory, experiment)
    try:
        if format == "npz":
            _write_npz(path, variables)
        else:
            _write_stablehlo(path, experiment, variables)
    except OSError as error:
        raise InputError(f"--output={path}: cannot be written: {error.strerror}.") from None
    console.line(f"{path} written, {path.stat().st_size:,} bytes")
    return path


def _write_npz(path: Path, variables: dict) -> None:
    """Stores the parameters under their paths in the model, for example `Conv_0/kernel`, for `numpy.load`.

    Other variables have the name of their collection in front, for example `batch_stats/BatchNorm_0/mean`.
    """
    params = variables["params"] | {name: part for name, part in variables.items() if name != "params"}
    with atomic_file(path) as stream:
        np.savez(stream, allow_pickle=False, **flatten_dict(params, sep="/"))


def _write_stablehlo(path: Path, experiment: Experiment, variables: dict) -> None:
    """Stores the function from images to logits as StableHLO, with the parameters in it.

    Images: uint8 [N, H, W, C] with any N, as in the dataset. Logits: float32 [N, classes], or a dict of them by output.
    To read it: `jax.export.deserialize(bytearray(path.read_bytes())).call(images)`. The program uses XLA's own
    operators, so that it runs on every platform.
    """
    learner = build(experiment, fused=False)

    def infer(images: jax.Array) -> Any:
        return learner.apply(variables, images)

    def infer_one(image: jax.Array) -> Any:
        return jax.tree.map(lambda logits: logits[0], infer(image[None]))

    shape = symbolic_shape(", ".join(["batch", *map(str, learner.spec.image_shape)]))
    images = jax.ShapeDtypeStruct(shape, jnp.uint8)
    try:
        exported = export(jax.jit(infer), platforms=PLATFORMS)(images)
    except Exception:  # a user's model may ask for the number of images, as `len(images)` does: here it is 1
        with user_errors(f"the model {experiment.config.model}", type(learner.module)):
            exported = export(jax.jit(jax.vmap(infer_one)), platforms=PLATFORMS)(images)
    with atomic_file(path) as stream:
        stream.write(exported.serialize())
