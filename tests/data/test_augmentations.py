"""Augmentations: what holds for every entry of the table, and what a user is told before training."""

import functools
from collections.abc import Callable

import jax
import numpy as np
import pytest

from cnn_jax import Experiment, Part, compilation, data
from cnn_jax.data import augmentations
from cnn_jax.data.augmentations import AUGMENTATIONS, Mixed
from tests.conftest import first_quick
from tests.data.quick import quick

_SAME = slice(3, None)  # images that are the same one
IMAGES = jax.random.uniform(jax.random.key(0), (9, 11, 9, 3))
IMAGES = IMAGES.at[_SAME].set(IMAGES[3])
NO_STRENGTH = {
    "shift": {"pixels": 0},
    "crop": {"padding": 0},
    "flip": {"probability": 0.0},
    "rotation": {"degrees": 0.0},
    "scale": {"factor": 1.0},
    "shear": {"slope": 0.0},
    "elastic": {"pixels": 0.0},
    "thickness": {"pixels": 0.0},
    "brightness": {"strength": 0.0},
    "contrast": {"strength": 0.0},
    "noise": {"deviation": 0.0},
    "cutout": {"pixels": 0},
    "mixup": {"alpha": 1e-3},
    "trivial": {"strength": 0.0},
}

Results = dict[str, jax.Array | Mixed]


@functools.cache
def every(channels: int) -> tuple[Callable[[jax.Array], Results], Results]:
    """All augmentations as one compiled function of a key, on grey or colour images; and what it gives for one key."""
    images = IMAGES[..., :channels]
    compiled = quick(lambda key: {name: augment(key, images) for name, augment in AUGMENTATIONS.items()})
    return compiled, compiled(jax.random.key(7))


def images_of(result: jax.Array | Mixed) -> np.ndarray:
    return np.asarray(result.images if isinstance(result, Mixed) else result)


@pytest.mark.parametrize("channels", first_quick([3, 1]))
@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_form_and_range_are_kept_and_the_key_alone_decides(name: str, channels: int) -> None:
    compiled, results = every(channels)
    found = images_of(results[name])
    assert (found.shape, found.dtype) == ((*IMAGES.shape[:3], channels), np.float32)
    assert found.min() >= 0 and found.max() <= 1 + 1e-6
    np.testing.assert_array_equal(images_of(compiled(jax.random.key(7))[name]), found)
    assert (images_of(compiled(jax.random.key(8))[name]) != found).any()


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_each_image_has_random_numbers_of_its_own(name: str) -> None:
    _, results = every(3)
    same = images_of(results[name])[_SAME]
    if name in ("mixup", "cutmix"):  # which give the same again where the partner is the same
        assert len(set(np.asarray(results[name].weight).tolist())) > 3
    else:
        assert (same != same[0]).any()


@pytest.mark.slow
def test_no_strength_changes_nothing() -> None:
    assert NO_STRENGTH.keys() == AUGMENTATIONS.keys() - {"cutmix"}

    def none(key: jax.Array) -> Results:
        return {name: AUGMENTATIONS[name](key, IMAGES, **settings) for name, settings in NO_STRENGTH.items()}

    for name, result in quick(none)(jax.random.key(2)).items():
        np.testing.assert_allclose(images_of(result), IMAGES, atol=1e-6, err_msg=name)


def test_images_that_one_augmentation_hands_to_the_next_are_computed_once() -> None:
    """Fused, each of the four pixels that one reads would be sampled anew from four of the one before it."""
    chain = [AUGMENTATIONS[name] for name in ("rotation", "scale", "elastic")]
    compiled = compilation.jit(functools.partial(augmentations.apply, chain)).lower(jax.random.key(0), IMAGES).compile()
    samples = [computation.count(" gather(") for computation in compiled.as_text().split("\n\n")]
    assert (max(samples), sum(samples)) == (4, 12)


@pytest.mark.slow
def test_all_follow_each_other_with_keys_of_their_own() -> None:
    key, first, second = jax.random.key(4), AUGMENTATIONS["noise"], AUGMENTATIONS["mixup"]
    apply = quick(lambda key, images: augmentations.apply([first, second], key, images))
    noisy = quick(first)(jax.random.fold_in(key, 0), IMAGES)
    close = functools.partial(np.testing.assert_allclose, atol=1e-6)
    jax.tree.map(close, apply(key, IMAGES), quick(second)(jax.random.fold_in(key, 1), noisy))
    mixed = quick(lambda key, images: augmentations.apply([second, first], key, images))(key, IMAGES)
    assert isinstance(mixed, Mixed), "the labels stay mixed, whatever comes after"
    np.testing.assert_array_equal(mixed.weight, quick(second)(jax.random.fold_in(key, 0), IMAGES).weight)


@pytest.mark.parametrize(
    ("dataset", "augment", "said"),
    [
        ("mnist", ("flip",), ["--augment=flip: if the classes 2, 3, 4, ... are digits or letters"]),
        ("svhn_cropped", ("shift", "flip"), ["--augment=flip: "]),
        ("emnist", ("flip",), ["--augment=flip: if the classes B, C, D, ... are digits"]),
        ("mnist", ("shift", "rotation", "elastic"), []),
        ("mnist", (Part("rotation", degrees=180.0),), ["--augment.rotation.degrees=180: turned by more than 90"]),
        ("mnist", ("trivial",), ["--augment.trivial.strength=1: turned by more than 90 degrees, a 6 is a 9"]),
        ("mnist", (Part("trivial", strength=0.3),), []),
        ("emnist", (Part("rotation", degrees=180.0),), []),
        ("cifar10", ("flip", Part("rotation", degrees=180.0)), []),
        ("fashion_mnist", ("flip",), []),
        ("x_and_o", ("flip",), []),
    ],
)
def test_flips_and_large_turns_of_digits_are_remarked(dataset: str, augment: tuple, said: list[str]) -> None:
    chosen = Experiment().vary(augment=augment).config.augment
    found = augmentations.remarks(chosen, data.spec(dataset).classes)
    assert [text for text in said if not any(remark.startswith(text) for remark in found)] == []
    assert len(found) == len(said)
