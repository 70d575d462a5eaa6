"""The images that the page carries: which ones, and that none is lost on the way."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from cnn_jax.data.dataset import Dataset, Split
from cnn_jax.studies.lesson.live import gallery


def unpacked(runs: bytes) -> bytes:
    """Reads what `packed` wrote, as its docstring says."""
    result, at = b"", 0
    while at < len(runs):
        zeros, others = runs[at], runs[at + 1]
        result += bytes(zeros) + runs[at + 2 : at + 2 + others]
        at += 2 + others
    return result


@given(st.lists(st.tuples(st.sampled_from([0, 0, 7, 255]), st.integers(1, 600)), max_size=6))
def test_packed_images_are_read_back_to_the_byte(runs: list[tuple[int, int]]) -> None:
    pixels = np.array([value for value, count in runs for _ in range(count)], np.uint8)
    assert unpacked(gallery.packed(pixels[None])) == pixels.tobytes()


def test_sample_is_the_first_twenty_images_of_each_class(drawn_digits: Dataset) -> None:
    labels = drawn_digits.test.labels
    chosen = gallery.sample(labels, 10)
    assert chosen.tolist() == sorted(chosen.tolist())
    for label in range(10):
        assert set(np.flatnonzero(labels == label)[:20]) == {index for index in chosen if labels[index] == label}


def test_every_misclassified_image_is_carried_with_every_answer() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 10, 2000, dtype=np.int32)
    split = Split(rng.integers(0, 256, (2000, 28, 28, 1), dtype=np.uint8), labels)
    logits = [np.eye(10)[labels] + rng.normal(0, spread, (2000, 10)) for spread in (0.3, 0.4)]
    found = gallery.compute(split, logits, 10)
    wrong = [set(np.flatnonzero(each.argmax(1) != labels).tolist()) for each in logits]
    assert 0 < len(wrong[0]) < gallery.MOST_WRONG < len(wrong[1])
    carried = found["indices"]
    assert wrong[0] <= set(carried)
    assert len(wrong[1] & set(carried)) >= gallery.MOST_WRONG
    assert found["confusion"][0] == [
        [int(np.sum((labels == row) & (logits[0].argmax(1) == column))) for column in range(10)] for row in range(10)
    ]
    assert found["answers"][1] == logits[1].argmax(1)[carried].tolist()
    assert found["labels"] == labels[carried].tolist()
    assert carried[: found["sample"]] == gallery.sample(labels, 10).tolist()
