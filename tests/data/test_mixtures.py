"""Mixtures: images, partners and weights belong together."""

from collections.abc import Callable

import jax
import numpy as np
import pytest
from scipy import stats

from cnn_jax.data import mixtures
from cnn_jax.data.mixtures import cutmix, mixup
from tests.data.quick import quick

KEY = jax.random.key(6)
IMAGES = np.asarray(jax.random.uniform(jax.random.key(0), (50, 8, 10, 3)))


def test_mixup_is_the_weighted_mean_of_an_image_and_its_partner() -> None:
    mixed = jax.tree.map(np.asarray, quick(mixup, alpha=0.4)(KEY, IMAGES))
    weight = mixed.weight[:, None, None, None]
    np.testing.assert_allclose(mixed.images, weight * IMAGES + (1 - weight) * IMAGES[mixed.partners], atol=1e-6)
    assert mixed.weight.min() >= 0.5, "the own label is the main one"
    assert len(set(mixed.weight)) > 40, "each image has a weight of its own"


def test_cutmix_gives_each_label_its_share_of_the_pixels() -> None:
    mixed = jax.tree.map(np.asarray, quick(cutmix)(KEY, IMAGES))
    is_own = (mixed.images == IMAGES).all(axis=-1)
    is_partner = (mixed.images == IMAGES[mixed.partners]).all(axis=-1)
    assert (is_own ^ is_partner).all(), "every pixel is of one of the two"
    np.testing.assert_allclose(mixed.weight, is_own.mean(axis=(1, 2)), atol=1e-6)
    for box in is_partner:
        rows, columns = box.any(axis=1).sum(), box.any(axis=0).sum()
        assert box.sum() == rows * columns, "the partner's pixels are one box"


@pytest.mark.parametrize("mix", [mixup, cutmix])
def test_every_image_is_a_partner_once_and_never_its_own(mix: Callable) -> None:
    partners = np.asarray(quick(mix)(KEY, IMAGES).partners)
    assert sorted(partners) == list(range(50))
    assert (partners != np.arange(50)).all()


@pytest.mark.parametrize("alpha", [0.2, 1.0, 3.0])
def test_weights_are_from_a_beta_distribution(alpha: float) -> None:
    found, places = np.asarray(quick(mixtures._weights, examples=20_000, alpha=alpha)(KEY)), np.linspace(0.01, 0.99)
    shares = [(found < place).mean() for place in places]
    np.testing.assert_allclose(shares, stats.beta(alpha, alpha).cdf(places), atol=0.012)
