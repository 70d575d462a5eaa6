"""Write a finished run's model for use elsewhere: parameters for numpy, or a program for jax."""

from pathlib import Path

from cnn_jax import compilation, data
from cnn_jax.errors import InputError, unknown_name
from cnn_jax.report.console import Console
from cnn_jax.runs import trained
from cnn_jax.runs.directory import RunDirectory
from cnn_jax.studies import exporting as export

FORMATS = {"npz": "parameters.npz", "stablehlo": "model.stablehlo"}


def run(
    *, workdir: Path | None = None, format: str = "npz", output: Path | None = None, overwrite: bool = False
) -> Path:
    """Writes the file and returns its path. output: default in the run's directory.

    Raises InputError where there is no finished run, the format is unknown, or the file is there or cannot be written.
    """
    if workdir is None:
        raise InputError("--mode=export: name the run with --workdir=RUN.")
    if format not in FORMATS:
        raise unknown_name("--format", format, "format", FORMATS)
    compilation.start(persistent_cache=False)
    directory = RunDirectory(workdir)
    config = directory.config()
    directory.finished_result()  # complains where there is none, before the file is looked at
    path = output or workdir / FORMATS[format]
    if path.exists() and not overwrite:
        raise InputError(f"--output={path}: is there already. Name another file, or use --overwrite.")
    params = trained.params(directory)
    try:
        if format == "npz":
            export.write_npz(path, params)
        else:
            export.write_stablehlo(path, config, data.spec(config.dataset), params)
    except OSError as error:
        raise InputError(f"--output={path}: cannot be written: {error.strerror}.") from None
    Console().line(f"{path} written, {path.stat().st_size:,} bytes")
    return path
