"""Small convolutional networks in JAX and Flax. The names in `__all__` are public; each is imported when it is used."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cnn_jax.config import Config, Part
    from cnn_jax.data.dataset import Dataset
    from cnn_jax.data.mixtures import Mixed
    from cnn_jax.data.tasks import Task
    from cnn_jax.errors import InputError
    from cnn_jax.experiment import Experiment, load_experiment
    from cnn_jax.ops.operators import convolution, max_pool
    from cnn_jax.runs.in_memory import TrainedRun, load_run, train
    from cnn_jax.settings import About

__version__ = "2.0.0"  # the first number is the generation of its files: docs/formats.md

_PLACES = {
    "About": "settings",
    "Config": "config",
    "Dataset": "data.dataset",
    "Experiment": "experiment",
    "InputError": "errors",
    "Mixed": "data.mixtures",
    "Part": "config",
    "Task": "data.tasks",
    "TrainedRun": "runs.in_memory",
    "convolution": "ops.operators",
    "load_experiment": "experiment",
    "load_run": "runs.in_memory",
    "max_pool": "ops.operators",
    "train": "runs.in_memory",
}
__all__ = [
    "About",
    "Config",
    "Dataset",
    "Experiment",
    "InputError",
    "Mixed",
    "Part",
    "Task",
    "TrainedRun",
    "convolution",
    "load_experiment",
    "load_run",
    "max_pool",
    "train",
]


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_PLACES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
