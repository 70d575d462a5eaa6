"""What a model is given: the same pixels in another order, and the numbers beside an image."""

import jax.numpy as jnp
import numpy as np
import pytest

from cnn_jax.data import tasks
from cnn_jax.data.tasks import TASKS, Task
from cnn_jax.errors import InputError
from cnn_jax.experiment import Experiment


def images(*rows: str) -> np.ndarray:
    """One image of ink (#) and paper (.): float32 [1, H, W, 1]."""
    return np.array([[[float(mark == "#")] for mark in row] for row in rows], np.float32)[None]


def metadata(*rows: str) -> list[float]:
    return np.asarray(tasks.with_metadata(images(*rows))["metadata"])[0].tolist()


def test_an_experiment_offers_every_task_and_no_other() -> None:
    for name in TASKS:
        assert isinstance(Experiment().vary(task=name).task, Task)
    with pytest.raises(InputError, match=f"--task=plane: .* Known: {', '.join(sorted(TASKS))}.$"):
        Experiment().vary(task="plane")


def test_tasks_are_made_of_the_functions_below() -> None:
    numbered = np.arange(28 * 28, dtype=np.float32).reshape(1, 28, 28, 1)
    labels = np.arange(10, dtype=np.int32)
    plain, permuted, metadata = (TASKS[name]() for name in ("plain", "permuted", "with_metadata"))
    np.testing.assert_array_equal(plain.inputs(numbered), numbered)
    np.testing.assert_array_equal(permuted.inputs(numbered), tasks.permuted(numbered))
    for task in (plain, permuted):
        np.testing.assert_array_equal(task.targets(labels), labels)
        assert task.main_output is None
    assert metadata.inputs(numbered).keys() == {"image", "metadata"}
    assert metadata.targets(labels).keys() == {"digit", "five_or_more"}
    assert metadata.targets(labels)[metadata.main_output] is labels


def test_permutation_is_one_for_all_images_and_loses_nothing() -> None:
    numbered = np.arange(2 * 28 * 28 * 3, dtype=np.float32).reshape(2, 28, 28, 3)
    shown = tasks.permuted(numbered)
    first, second = shown - np.array([0, 28 * 28 * 3], np.float32).reshape(2, 1, 1, 1)
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(np.sort(shown, axis=None), np.arange(numbered.size))
    np.testing.assert_array_equal(shown[..., 1] - shown[..., 0], np.ones((2, 28, 28)))  # channels stay together
    np.testing.assert_array_equal(tasks.permuted(jnp.asarray(numbered)), shown)
    neighbours = np.abs(np.diff(shown[0, ..., 0], axis=1)) == 3
    assert neighbours.mean() < 0.02


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (("....", ".##.", ".##.", "...."), [4 / 16, 1, 0]),
        (("....", "####", "....", "...."), [4 / 16, 4, 0]),
        ((".#..", ".#..", ".#..", ".#.."), [4 / 16, 1 / 4, 0]),
        (("...#", "..#.", ".#..", "#..."), [4 / 16, 1, 1]),
        (("#...", ".#..", "..#.", "...#"), [4 / 16, 1, -1]),
        (("..#.", "..#.", ".#..", ".#.."), [4 / 16, 2 / 4, 0.4]),
        (("....", "....", "....", "...."), [0, 0, 0]),
    ],
)
def test_numbers_are_ink_aspect_ratio_and_slant(rows: tuple[str, ...], expected: list[float]) -> None:
    np.testing.assert_allclose(metadata(*rows), expected, rtol=1e-6, atol=1e-6)


def test_two_questions_of_a_label() -> None:
    targets = tasks.digit_and_size(np.arange(10, dtype=np.int32))
    assert targets["digit"].tolist() == list(range(10))
    assert targets["five_or_more"].tolist() == [0] * 5 + [1] * 5
