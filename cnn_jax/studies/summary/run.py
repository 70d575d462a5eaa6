"""Print a model's layers with output shapes, parameters and multiply-adds; draw its graph; show its augmentations."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cnn_jax import compilation
from cnn_jax.errors import InputError
from cnn_jax.experiment import Experiment, build
from cnn_jax.files import write_atomic
from cnn_jax.models.graph import trace_graph
from cnn_jax.models.table import Summary, summarize
from cnn_jax.report.console import Console
from cnn_jax.report.figures import as_svg_file
from cnn_jax.report.graph import drawing
from cnn_jax.report.tables import Table
from cnn_jax.runs.options import RunOptions
from cnn_jax.runs.session import load_dataset
from cnn_jax.studies.summary.sheets import sheets_page
from cnn_jax.training.learner import Learner

# What each file holds, its kind, and how its name ends, by flag.
_KINDS = {
    "graph": ("the graph is", "an SVG", ".svg"),
    "augmentations": ("the augmentations are shown in", "an HTML", ".html"),
}


def run(
    experiment: Experiment, options: RunOptions, *, graph: Path | None = None, augmentations: Path | None = None
) -> Summary:
    """Prints the layer table of the experiment's model for images of its dataset. Nothing is trained.

    graph: a new SVG file for a drawing of the model. augmentations: a new HTML file for a page that shows what the
    augmentations do to images of the dataset, for which alone data are read. Raises InputError when a file exists or
    cannot be written.
    """
    paths = {name: path for name, path in (("graph", graph), ("augmentations", augmentations)) if path is not None}
    for name, path in paths.items():
        _require_new(name, path)
    for name in ("data_dir", "manual_dir"):
        if getattr(options, name) is not None and augmentations is None:
            raise InputError(f"--{name}: has no meaning with --mode=summary where there is no --augmentations.")
    compilation.start(persistent_cache=False)
    console, config = Console(), experiment.config
    title = f"{config.experiment}: {config.model} on {config.dataset}"
    learner = build(experiment, fused=False)
    summary = summarize(learner.module, learner.input_shapes)
    texts = {}
    if graph is not None:
        texts["graph"] = as_svg_file(drawing(title, trace_graph(learner.module, learner.input_shapes).record()))
    if augmentations is not None:
        texts["augmentations"] = sheets_page(experiment, learner, load_dataset(experiment, options, console))
    for name, text in texts.items():
        _write(name, paths[name], text)
    console.table(_table(f"{title}, for one image", summary, learner))
    for path in paths.values():
        console.line(f"{path} written")
    return summary


def _table(title: str, summary: Summary, learner: Learner) -> Table:
    *rows, total = summary.cells()
    return Table(title, summary.headings, [*([_named(name, learner), *cells] for name, *cells in rows), total])


def _named(layer: str, learner: Learner) -> str:
    return f"{layer} (frozen)" if learner.is_frozen(tuple(layer.split("/"))) else layer


def _require_new(flag: str, path: Path) -> None:
    """Raises InputError where no new file of this kind can be written."""
    what, kind, suffix = _KINDS[flag]
    if path.suffix != suffix:
        raise InputError(f"--{flag}={path}: {what} {kind} file. Name a file that ends in {suffix}.")
    if path.exists() or path.is_symlink():
        raise InputError(f"--{flag}={path}: already exists. Name another file.")
    with _errors_named(flag, path):
        os.stat(f"{path.parent}{os.sep}")  # a folder


def _write(flag: str, path: Path, text: str) -> None:
    with _errors_named(flag, path):
        write_atomic(path, text)


@contextmanager
def _errors_named(flag: str, path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InputError(f"--{flag}={path}: cannot be written: {error.strerror}.") from None
