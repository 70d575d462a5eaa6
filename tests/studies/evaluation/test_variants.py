"""Test-time augmentation averages the probabilities of all variants that its name says, and its gain is tested."""

import dataclasses
import itertools
from typing import Any

import numpy as np
import pytest
import scipy
from hypothesis import given
from hypothesis import strategies as st

from cnn_jax import data
from cnn_jax.data.augmentations import flip_remarks
from cnn_jax.errors import InputError
from cnn_jax.report.statistics import mcnemar, paired_difference
from cnn_jax.studies.evaluation import calibration
from cnn_jax.studies.evaluation.numbers import augmentation_record
from cnn_jax.studies.evaluation.page import render_page
from cnn_jax.studies.evaluation.variants import Variants, doubts, predicted, selected_variants
from cnn_jax.studies.evaluation.variants_page import augmentation_sentences, augmentation_table
from cnn_jax.training.metrics import log_softmax
from tests.studies.evaluation import test_page as made

shapes = st.tuples(st.integers(1, 3), st.integers(4, 9), st.integers(4, 9), st.sampled_from([1, 3]))


def some_images(shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def brightness(images: np.ndarray) -> np.ndarray:
    """Logits of two models that look at the left half: float32 [2, N, 3]."""
    left = images[:, :, : images.shape[2] // 2].mean(axis=(1, 2, 3)) / 64
    one = np.stack([left, 2 - left, np.ones_like(left)], axis=-1)
    return np.stack([one, 3 * one]).astype(np.float32)


@given(shapes, st.integers(0, 2), st.booleans())
def test_variants_are_all_shifts_and_their_mirror_images_and_the_image_itself_is_first(
    shape: tuple[int, ...], pixels: int, is_mirrored: bool
) -> None:
    images, variants = some_images(shape), Variants(pixels, is_mirrored)
    found = list(variants.of(images))
    distances = range(-pixels, pixels + 1)
    expected = [
        scipy.ndimage.shift(given, (0, down, right, 0), order=0)
        for given in ((images, images[:, :, ::-1]) if is_mirrored else (images,))
        for down, right in itertools.product(distances, distances)
    ]
    assert sorted(variant.tobytes() for variant in found) == sorted(variant.tobytes() for variant in expected)
    assert {(variant.shape, variant.dtype.str) for variant in found} == {(shape, "|u1")}
    assert (found[0] == images).all()
    assert len(found) == len(variants)


def test_probabilities_are_averaged_over_the_variants() -> None:
    images = some_images((7, 6, 8, 3))
    plain, mean = predicted(brightness, images, Variants(1, is_mirrored=True))
    moved = [
        scipy.ndimage.shift(given, (0, *by, 0), order=0)
        for given in (images, images[:, :, ::-1])
        for by in itertools.product((-1, 0, 1), repeat=2)
    ]
    by_hand = np.mean([scipy.special.softmax(brightness(images), axis=-1) for images in moved], axis=0)
    assert (plain == log_softmax(brightness(images))).all()
    np.testing.assert_allclose(np.exp(mean), by_hand, rtol=1e-6)
    assert np.abs(np.exp(mean) - np.exp(plain)).max() > 0.01


def test_certain_and_wrong_predictions_have_a_finite_loss() -> None:
    def certain(images: np.ndarray) -> np.ndarray:
        return np.broadcast_to(np.array([0.0, 2000.0], np.float32), (1, len(images), 2))

    _, mean = predicted(certain, some_images((3, 4, 4, 1)), Variants(2, is_mirrored=False))
    assert calibration.quality(mean[0], np.zeros(3, int)).loss == pytest.approx(2000)


@pytest.mark.parametrize(
    ("names", "pixels", "said"),
    [
        (["shfit"], None, "--test_augment=shfit: no such variant of test images. Did you mean shift?"),
        ([""], None, "--test_augment=: no such variant of test images"),
        (["shift"], 0, "--shift_pixels=0: must be between 1 and 8"),
        (["shift"], 9, "--shift_pixels=9: must be between 1 and 8"),
        (["flip"], 1, "--shift_pixels=1: has no meaning without --test_augment=shift"),
        ([], 1, "--shift_pixels=1: has no meaning without --test_augment=shift"),
    ],
)
def test_bad_variants_are_refused_in_one_line(names: list[str], pixels: int | None, said: str) -> None:
    with pytest.raises(InputError) as error:
        selected_variants(names, pixels)
    assert said in str(error.value)


def test_shift_of_one_pixel_is_the_default_and_flips_of_digits_and_shifts_out_of_the_image_are_named() -> None:
    mnist, both = data.spec("mnist"), selected_variants(["flip", "shift"], None)
    assert both == Variants(1, is_mirrored=True)
    assert selected_variants([], None) is None
    assert doubts(Variants(0, is_mirrored=True), mnist) == flip_remarks("--test_augment=flip", mnist.classes) != []
    assert doubts(Variants(8, is_mirrored=False), mnist) == doubts(both, data.spec("fashion_mnist")) == []
    tiny = dataclasses.replace(mnist, image_shape=(28, 3, 1))
    with pytest.raises(InputError, match="--shift_pixels=3: the images of mnist have 3 rows or columns"):
        doubts(Variants(3, is_mirrored=False), tiny)


def augmented(*seeds: int) -> tuple[dict[str, Any], dict[str, tuple]]:
    """A record of runs with so many seeds each, and what they predicted without and with test-time augmentation."""
    records = [made.record(f"net{index}", number) for index, number in enumerate(seeds)]
    record = records[0] | {"runs": [run for one in records for run in one["runs"]]}
    noise = 0.3 * np.random.default_rng(5).normal(size=(max(seeds), 1000, 10))
    found = {}
    for run, number in zip(record["runs"], seeds, strict=True):
        logits = made.logits(number)
        found[run["name"]] = log_softmax(logits), log_softmax(logits - noise[:number]), made.LABELS
    return record | {"test_augmentation": augmentation_record(Variants(1, False), record["runs"], found)}, found


def test_one_seed_is_compared_by_mcnemar_and_several_by_their_pairs_with_holms_correction() -> None:
    record, logs = augmented(3, 1)
    several, single = record["test_augmentation"]["runs"]
    plain, mean, labels = logs["net1"]
    hits = [of_all[0].argmax(axis=-1) == labels for of_all in (plain, mean)]
    assert single["mcnemar"] == dataclasses.asdict(mcnemar(*hits))
    assert single["difference"]["accuracy"]["mean"] == pytest.approx(hits[1].mean() - hits[0].mean())
    assert "ensemble" not in single
    with_it, without = ([row["accuracy"] for row in run["seeds"]] for run in (several, record["runs"][0]))
    pairs = paired_difference(with_it, without)
    assert (several["mcnemar"], several["difference"]["accuracy"]["p"]) == (None, pairs.p)
    assert several["difference"]["accuracy"]["interval"] == pairs.estimate.interval
    smaller, larger = sorted([single["mcnemar"]["p"], pairs.p])
    assert sorted([single["p_holm"], several["p_holm"]]) == pytest.approx([2 * smaller, max(2 * smaller, larger)])
    ensemble = np.log(np.exp(logs["net0"][1]).mean(axis=0))
    assert several["ensemble"]["loss"] == pytest.approx(-ensemble[np.arange(1000), labels].mean())


def test_page_shows_both_predictions_beside_each_other_and_where_the_choice_belongs() -> None:
    record, _ = augmented(3, 1)
    table = augmentation_table(record)
    assert [row[:2] for row in table.rows] == [
        ["net0", "the image"],
        ["net0", "9 variants"],
        ["net0", "ensemble of 3, the image"],
        ["net0", "ensemble of 3, 9 variants"],
        ["net1", "the image"],
        ["net1", "9 variants"],
    ]
    several, single = augmentation_sentences(record)
    assert "3 seeds)" in several and "after Holm's correction for 2 runs" in several
    assert "McNemar's test: p = " in single and "This is about one seed" in single
    html = render_page(record, made.IMAGES, {})
    assert "it belongs on held-out training images" in html
    assert html.count("9 variants</td>") == 3
    assert "Test-time augmentation" not in render_page(made.record(), made.IMAGES, {})
