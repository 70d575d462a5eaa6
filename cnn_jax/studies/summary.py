"""Print a model's layers with output shapes, parameters and multiply-adds, and draw its graph. Nothing is trained."""

from pathlib import Path

from cnn_jax import compilation
from cnn_jax.errors import InputError
from cnn_jax.experiment import Experiment, build
from cnn_jax.files import write_atomic
from cnn_jax.models import summary
from cnn_jax.models.graph import trace_graph
from cnn_jax.models.summary import Layer
from cnn_jax.report.console import Console
from cnn_jax.report.figures import Markup, as_svg_file
from cnn_jax.report.graph import drawing
from cnn_jax.report.tables import Table
from cnn_jax.runs.options import RunOptions
from cnn_jax.training.learner import Learner


def run(experiment: Experiment, options: RunOptions, *, graph: Path | None = None) -> list[Layer]:
    """Prints the layer table of the experiment's model for images of its dataset. It reads no data.

    graph: a new SVG file for a drawing of the model. Raises InputError when it exists or cannot be written.
    """
    compilation.start(persistent_cache=False)
    console, config = Console(), experiment.config
    title = f"{config.experiment}: {config.model} on {config.dataset}"
    learner = build(experiment, fused=False)
    layers = summary.layers(learner.module, learner.input_shapes)
    if graph is not None:
        _write(graph, drawing(title, trace_graph(learner.module, learner.input_shapes).record()))
    rows = [
        [_named(layer, learner), str((None, *layer.output_shape)), f"{layer.parameters:,}", f"{layer.multiply_adds:,}"]
        for layer in layers
    ]
    totals = (sum(layer.parameters for layer in layers), sum(layer.multiply_adds for layer in layers))
    headings = ["layer", "output shape", "parameters", "multiply-adds per image"]
    console.table(Table(title, headings, [*rows, ["total", "", *(f"{total:,}" for total in totals)]]))
    if graph is not None:
        console.line(f"{graph} written")
    return layers


def _named(layer: Layer, learner: Learner) -> str:
    return f"{layer.name} (frozen)" if learner.is_frozen(tuple(layer.name.split("/"))) else layer.name


def _write(path: Path, svg: Markup) -> None:
    if path.suffix != ".svg":
        raise InputError(f"--graph={path}: the graph is an SVG file. Name a file that ends in .svg.")
    if path.exists() or path.is_symlink():
        raise InputError(f"--graph={path}: already exists. Name another file.")
    try:
        write_atomic(path, as_svg_file(svg))
    except OSError as error:
        raise InputError(f"--graph={path}: cannot be written: {error.strerror}.") from None
