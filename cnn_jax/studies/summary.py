"""Print a model's layers with output shapes, parameters and multiply-adds, and draw its graph. Trains nothing."""

from pathlib import Path

from cnn_jax import compilation, data, models
from cnn_jax.config import Config
from cnn_jax.errors import InputError
from cnn_jax.models import summary
from cnn_jax.models.graph import trace_graph
from cnn_jax.models.summary import Layer
from cnn_jax.report import figures
from cnn_jax.report import graph as drawings
from cnn_jax.report.console import Console
from cnn_jax.runs import directory
from cnn_jax.training import programs


def run(config: Config, *, graph: Path | None = None) -> list[Layer]:
    """Prints the layer table of the config's model on images of its dataset; reads no data.

    graph: an SVG file to draw the model's graph into. Raises InputError where it is there, or cannot be written.
    """
    if graph is not None:
        _require_new_svg(graph)
    compilation.start(persistent_cache=False)
    console, spec = Console(), data.spec(config.dataset)
    module, title = models.build(config, len(spec.classes)), f"{config.experiment}: {config.model} on {config.dataset}"
    inputs = programs.input_shapes(config, spec)
    layers = summary.layers(module, inputs)
    if graph is not None:
        _write(graph, drawings.drawing(title, trace_graph(module, inputs).record()))
    rows = [
        [layer.name, str((None, *layer.output_shape)), f"{layer.parameters:,}", f"{layer.multiply_adds:,}"]
        for layer in layers
    ]
    totals = (sum(layer.parameters for layer in layers), sum(layer.multiply_adds for layer in layers))
    console.table(
        title,
        ["layer", "output shape", "parameters", "multiply-adds an image"],
        [*rows, ["total", "", *(f"{total:,}" for total in totals)]],
    )
    if graph is not None:
        console.line(f"{graph} written")
    return layers


def _require_new_svg(path: Path) -> None:
    if path.suffix != ".svg":
        raise InputError(f"--graph={path}: is drawn as SVG. Name a file that ends in .svg.")
    if path.exists() or path.is_symlink():
        raise InputError(f"--graph={path}: is there already. Name another file.")


def _write(path: Path, drawing: figures.Markup) -> None:
    try:
        directory.write_at_once(path, figures.alone(drawing))
    except OSError as error:
        raise InputError(f"--graph={path}: cannot be written: {error.strerror}.") from None
