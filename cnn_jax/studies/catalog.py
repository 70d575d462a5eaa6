"""List the experiments, datasets and models, one line each."""

from collections.abc import Mapping

from cnn_jax import data, models
from cnn_jax.report.console import Console


def run(descriptions: Mapping[str, str]) -> None:
    """Prints all names that can be chosen, with a description. descriptions: of each experiment, by its name."""
    datasets = {name: data.spec(name).description for name in data.names()}
    classes = {name: (kind.__doc__ or "").splitlines()[0] for name, kind in models.MODELS.items()}
    console = Console()
    for flag, entries in (("experiment", descriptions), ("dataset", datasets), ("model", classes)):
        console.line(f"--{flag}=")
        for name, description in sorted(entries.items()):
            console.line(f"  {name:<{max(map(len, entries))}}  {description}")
