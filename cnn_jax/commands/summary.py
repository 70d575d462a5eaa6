"""Print a model's layers with output shapes, parameters and multiply-adds. Trains nothing."""

from cnn_jax import compilation, data, models
from cnn_jax.analysis import summary
from cnn_jax.analysis.summary import Layer
from cnn_jax.config import Config
from cnn_jax.reporting.console import Console
from cnn_jax.training import programs


def run(config: Config) -> list[Layer]:
    """Prints the layer table of the config's model on images of its dataset; reads no data."""
    compilation.start(persistent_cache=False)
    spec = data.spec(config.dataset)
    layers = summary.layers(models.build(config, len(spec.classes)), programs.input_shapes(config, spec))
    rows = [
        [layer.name, str((None, *layer.output_shape)), f"{layer.parameters:,}", f"{layer.multiply_adds:,}"]
        for layer in layers
    ]
    totals = (sum(layer.parameters for layer in layers), sum(layer.multiply_adds for layer in layers))
    Console().table(
        f"{config.experiment}: {config.model} on {config.dataset}",
        ["layer", "output shape", "parameters", "multiply-adds an image"],
        [*rows, ["total", "", *(f"{total:,}" for total in totals)]],
    )
    return layers
