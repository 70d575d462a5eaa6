"""Experiments are refused before training where they cannot be set beside one another, and left out where they fail."""

import dataclasses
from pathlib import Path

import pytest

from cnn_jax.config import Config
from cnn_jax.errors import DivergedError, InputError
from cnn_jax.report.console import Console
from cnn_jax.runs.comparable import require_comparable, trained_seeds
from cnn_jax.runs.options import RunOptions

TINY = Config(experiment="tiny", model="dense", widths=(8,), train_examples=60, batch_size=20, epochs=1)


def test_glyphs_of_different_seeds_are_not_compared() -> None:
    one = dataclasses.replace(TINY, dataset="glyphs")
    other = dataclasses.replace(one, experiment="other", glyph_seed=1)
    require_comparable([one, dataclasses.replace(other, glyph_seed=0)])
    with pytest.raises(InputError, match="other and tiny are of glyphs drawn with different seeds"):
        require_comparable([one, other])


def test_experiment_of_which_every_seed_diverges_says_so(drawn_data_dir: Path, tmp_path: Path) -> None:
    wild = dataclasses.replace(TINY, optimizer="sgd", learning_rate=1e30)
    options = RunOptions(workdir=tmp_path / "wild", data_dir=drawn_data_dir, seeds=2, seed_strategy="loop")
    with pytest.raises(DivergedError, match="wild: every seed has diverged"):
        trained_seeds(wild, options, Console(progress=False))
