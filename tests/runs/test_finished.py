"""The finished seeds of a directory are found, and nothing else is taken for one."""

from pathlib import Path

import pytest

from cnn_jax.errors import InputError
from cnn_jax.experiment import Experiment
from cnn_jax.runs.finished import finished_seeds
from tests import fabricated

CONFIG = Experiment().vary(experiment="made_up", model="logistic")


def test_ordinary_run_is_found_under_its_own_seed(tmp_path: Path) -> None:
    fabricated.run(tmp_path / "run", CONFIG.vary(seed=7), [])
    assert {seed: run.path for seed, run in finished_seeds(tmp_path / "run").items()} == {7: tmp_path / "run"}


def test_seeds_come_in_ascending_order_and_without_those_that_still_train(tmp_path: Path) -> None:
    folder = fabricated.seeds(tmp_path, CONFIG, [[]] * 11)
    fabricated.run(folder / "seed-3", CONFIG.vary(seed=3), [], status="interrupted")
    (folder / "seed-4" / "result.json").unlink()
    (folder / "seed-of-doubt").mkdir()
    assert list(finished_seeds(folder)) == [0, 1, 2, 5, 6, 7, 8, 9, 10]


def test_run_of_another_seed_than_its_folder_is_refused(tmp_path: Path) -> None:
    fabricated.seeds(tmp_path, CONFIG, [[], []])
    fabricated.run(tmp_path / "seed-1", CONFIG.vary(seed=5), [])
    with pytest.raises(InputError, match="seed-1: holds a run of seed 5, not of 1"):
        finished_seeds(tmp_path)


def test_seeds_of_different_configs_are_refused(tmp_path: Path) -> None:
    fabricated.seeds(tmp_path, CONFIG, [[], []])
    fabricated.run(tmp_path / "seed-1", CONFIG.vary(seed=1, epochs=9), [])
    with pytest.raises(InputError, match="seed-1: differs from the first seed in more than the seed"):
        finished_seeds(tmp_path)


def test_folder_without_a_finished_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no run"):
        finished_seeds(tmp_path)
    fabricated.run(tmp_path / "run", CONFIG, [], status="interrupted")
    with pytest.raises(InputError, match="no run in it is finished"):
        finished_seeds(tmp_path / "run")
