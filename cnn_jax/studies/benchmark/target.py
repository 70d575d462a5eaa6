"""The time to an accuracy: training until the test images are classified so well, for several seeds."""

from collections.abc import Sequence
from typing import Any

from cnn_jax.data.dataset import Dataset, split_training_images
from cnn_jax.errors import DivergedError
from cnn_jax.experiment import Experiment, build
from cnn_jax.report import statistics
from cnn_jax.report.console import Console
from cnn_jax.studies.benchmark.timing import Reference
from cnn_jax.training.compiled import CompiledFunctions, compile_all
from cnn_jax.training.loop import fit, initial_progress

DEFAULT_SEEDS = 3


def measure(
    experiment: Experiment,
    dataset: Dataset,
    accuracy: float,
    seeds: Sequence[int],
    pace: Reference,
    console: Console,
) -> dict[str, Any]:
    """Trains each seed until the accuracy or the config's last epoch, and gives `target` of the record.

    dataset: the experiment's, with its real images. accuracy: a share of the test images, which are scored at the end
    of each epoch. Neither that nor compilation counts as time of training. seconds: of each seed that reached it; the
    estimate is None unless all did. reference_seconds: of the reference before each seed.
    """
    experiment = experiment.with_spec(dataset.spec)
    train, _ = split_training_images(dataset, experiment.config.train_examples, experiment.config.validation_examples)
    functions = compile_all(build(experiment), train, None, dataset.test)
    found = []
    for seed in seeds:
        console.note(f"training seed {seed} to a test accuracy of {100 * accuracy:g} %")
        before = pace()
        found.append({"seed": seed, "reference_seconds": before, **_train(functions, seed, accuracy)})
    times = [one["seconds"] for one in found if one["seconds"] is not None]
    seconds = statistics.summary(times, statistics.POSITIVE) if len(times) == len(found) else None
    settings = {name: getattr(experiment.config, name) for name in ("dtype", "batch_size", "epochs")}
    return {"accuracy": accuracy, **settings, "seconds": seconds, "seeds": found}


def _train(functions: CompiledFunctions, seed: int, accuracy: float) -> dict[str, Any]:
    """Epochs and seconds of one seed, both None where it does not get there, and the accuracy after each epoch."""
    training, accuracies = functions.training, []
    try:
        # The test images are in the place of held-out ones: `fit` scores those, and does not count that as training.
        for progress in fit(training, initial_progress(training, seed), functions.test):
            if progress.row:
                accuracies.append(progress.row["validation_accuracy"])
                if accuracies[-1] >= accuracy:
                    return {"epochs": progress.epoch, "seconds": progress.clock.total, "test_accuracies": accuracies}
    except DivergedError:
        pass  # it does not get there
    return {"epochs": None, "seconds": None, "test_accuracies": accuracies}
