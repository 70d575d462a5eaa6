"""Experiments are refused before training where they cannot be set beside one another, and left out where they fail."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from cnn_jax import Dataset, Part
from cnn_jax.errors import DivergedError, InputError
from cnn_jax.experiment import Experiment
from cnn_jax.report.console import Console
from cnn_jax.runs.comparable import require_comparable, trained_seeds
from cnn_jax.runs.options import RunOptions

TINY = Experiment().vary(experiment="tiny", model="dense", widths=(8,), train_examples=60, batch_size=20, epochs=1)


def test_glyphs_of_different_seeds_are_not_compared() -> None:
    one = TINY.vary(dataset="glyphs")
    other = one.vary({"dataset.seed": 1}, experiment="other")
    require_comparable([one, other.vary({"dataset.seed": 0})])
    with pytest.raises(InputError, match=r"other and tiny have different settings of glyphs.* --dataset\.seed=VALUE"):
        require_comparable([one, other])


def test_files_whose_datasets_have_one_name_and_other_images_are_not_compared() -> None:
    images, labels = np.full((8, 9, 9), 200, np.uint8), np.arange(8) % 2

    def own(name: str, level: int) -> Experiment:
        dataset = Dataset.from_arrays(images + level, labels, images, labels)
        config = dataclasses.replace(TINY.config, experiment=name, dataset=Part("mine"), train_examples=None)
        return Experiment(config, datasets={"mine": lambda: dataset})

    require_comparable([own("one", 1), own("other", 1)])
    with pytest.raises(InputError, match="their datasets mine differ"):
        require_comparable([own("one", 1), own("other", 2)])


@pytest.mark.slow
def test_experiment_of_which_every_seed_diverges_says_so(drawn_data_dir: Path, tmp_path: Path) -> None:
    wild = TINY.vary(optimizer="sgd", learning_rate=1e30)
    options = RunOptions(workdir=tmp_path / "wild", data_dir=drawn_data_dir, seeds=2, seed_strategy="loop")
    with pytest.raises(DivergedError, match="wild: every seed has diverged"):
        trained_seeds(wild, options, Console(progress=False))
