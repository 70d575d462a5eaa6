"""Predict what a user's own pictures show with a trained network: a table, a CSV file and a page."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cnn_jax import compilation
from cnn_jax.data import pictures
from cnn_jax.data.dataset import Spec
from cnn_jax.data.mnist_form import as_mnist
from cnn_jax.data.pictures import UnusablePicture
from cnn_jax.errors import InputError, ProjectError, printable
from cnn_jax.experiment import Experiment
from cnn_jax.files import is_of_the_system, make_folder, numbered, write_files
from cnn_jax.report.console import Console
from cnn_jax.report.format import percent
from cnn_jax.report.pictures import thumbnail
from cnn_jax.runs.in_memory import TrainedRun, load_run
from cnn_jax.runs.options import RUNS, RunOptions
from cnn_jax.runs.shipped import load_shipped, origin
from cnn_jax.studies.predict.page import predictions_page, show
from cnn_jax.studies.predict.saliency import Infer, occlusion
from cnn_jax.training.metrics import log_softmax

TABLE, PAGE = "predictions.csv", "predictions.html"
_SHIPPED = "lecture_cnn"  # the network for those who have no run
SHOWN = 100  # pictures on the page, which then has some megabytes
COLUMNS = ("file", "class", "probability", "second_class", "second_probability", "error")


class SomeUnusable(ProjectError):
    """Some of the pictures could not be read."""


def run(
    options: RunOptions,
    *,
    experiment: Experiment | None = None,
    images: Path | None = None,
    output: Path | None = None,
) -> list[dict[str, Any]]:
    """Predicts, prints a table, writes `predictions.csv` and `predictions.html`, and returns one row for each file.

    images: a file or a folder; hidden files and folders in it are left out. The network is that of the run in
    `options.workdir`, or without one the shipped `lecture_cnn`. experiment: whose parts the run needs, if any are a
    user's. output: a folder, by default that of the run, or a new numbered one in `runs`; files of an earlier
    prediction there are replaced. Raises InputError before anything is written, and SomeUnusable at the end where a
    picture could not be read.
    """
    workdir = options.workdir
    if images is None:
        raise InputError("--mode=predict: name the pictures with --images=FILE_OR_FOLDER.")
    if workdir is None and experiment is not None:
        raise InputError("--experiment: has no meaning without --workdir=RUN, a run of this experiment.")
    folder, console = output or workdir or numbered(RUNS, "predict"), Console()
    compilation.start(persistent_cache=options.compilation_cache)
    trained = load_run(workdir, experiment) if workdir else load_shipped(_SHIPPED)
    files = _files(images)
    make_folder(folder, flag="output")
    if workdir is None:
        console.line(f"the network is {_SHIPPED}, which ships with this project; --workdir=RUN uses a run of your own")
    spec = trained.experiment.spec
    with pictures.without_warnings():
        rows = [_read(file, spec, is_shown=index < SHOWN) for index, file in enumerate(files)]
    _predict([row for row in rows if not row["error"]], spec, trained.logits)
    model = f"{_described(trained)}{'' if workdir else f'; {origin(_SHIPPED)}'}"
    write_files(folder, {TABLE: _as_csv(rows), PAGE: predictions_page(model, spec, rows, SHOWN) + "\n"})
    show(console, rows)
    console.line(f"{folder / TABLE} and {folder / PAGE} written")
    _require_all_usable(rows)
    return rows


def _described(trained: TrainedRun) -> str:
    config = trained.experiment.config
    accuracy = f"test accuracy {percent(trained.test_accuracy)}"
    return f"{config.experiment} on {config.dataset}, seed {config.seed}, {accuracy}"


def _files(images: Path) -> list[Path]:
    """The picture files, in the order of their names. Raises InputError where there are none."""
    try:
        if images.is_file():
            return [images]
        if not images.exists():
            raise InputError(f"--images={images}: no such file or folder.")
        if not images.is_dir():
            raise InputError(f"--images={images}: neither a file nor a folder.")
        # A link that leads nowhere gets a row too, and not the files of an earlier prediction.
        files = [path for path in images.iterdir() if path.is_file() or not path.exists()]
        files = [path for path in files if path.name not in (TABLE, PAGE)]
    except OSError as error:
        raise InputError(f"--images={images}: cannot be read: {error.strerror}.") from None
    files = sorted((path for path in files if not is_of_the_system(path)), key=lambda path: path.name)
    if not files:
        raise InputError(f"--images={images}: the folder has no files (folders inside it are not searched).")
    return files


def _read(file: Path, spec: Spec, *, is_shown: bool) -> dict[str, Any]:
    """The row of a file before the prediction: image, uint8 [H, W, C], or error; thumbnail where it is shown."""
    row: dict[str, Any] = dict.fromkeys(COLUMNS, "") | {"file": printable(file.name)}
    try:
        pixels = pictures.read(file, background=None if spec.mnist_form else pictures.WHITE)
        row["thumbnail"] = thumbnail(pixels) if is_shown else None
        return row | {"image": as_mnist(pixels) if spec.mnist_form else pictures.as_image(file, spec.image_shape)}
    except UnusablePicture as error:
        return row | {"error": str(error)}


def _predict(rows: Sequence[dict[str, Any]], spec: Spec, infer: Infer) -> None:
    """Adds the predictions to the rows, and to rows with a thumbnail the saliency of their image."""
    if not rows:
        return
    probabilities = np.exp(log_softmax(infer(np.stack([row["image"] for row in rows]))))
    for row, each in zip(rows, probabilities, strict=True):
        second, first = np.argsort(each, kind="stable")[-2:]
        row |= {"class": spec.classes[first], "probability": float(each[first])}
        row |= {"second_class": spec.classes[second], "second_probability": float(each[second])}
        row["probabilities"] = dict(zip(spec.classes, map(float, each), strict=True))
        if row["thumbnail"]:
            row["saliency"] = occlusion(infer, row["image"], int(first), blank=_blank(spec, row["image"]))


def _blank(spec: Spec, image: np.ndarray) -> np.ndarray:
    """The colour of a blank pixel, uint8 [C]: paper, or the mean of a picture that has none."""
    return np.zeros(image.shape[-1], np.uint8) if spec.mnist_form else image.mean(axis=(0, 1)).astype(np.uint8)


def _as_csv(rows: Sequence[dict[str, Any]]) -> str:
    stream = io.StringIO()
    writer = csv.DictWriter(stream, COLUMNS, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(row | {"file": _harmless(row["file"])} for row in rows)
    return stream.getvalue()


def _harmless(name: str) -> str:
    """A file's name that no spreadsheet reads as a formula: `./=1+1.png` is the same file as `=1+1.png`."""
    return f"./{name}" if name.startswith(("=", "+", "-", "@")) else name


def _require_all_usable(rows: Sequence[dict[str, Any]]) -> None:
    failed = [row for row in rows if row["error"]]
    if failed:
        raise SomeUnusable(
            f"{len(failed)} of {len(rows)} files could not be read; the first: {failed[0]['file']}: "
            f"{failed[0]['error']}."
        )
