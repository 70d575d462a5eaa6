"""The page of augmentations: a sheet for each that is chosen, or for all, on the dataset's own images."""

import re
from pathlib import Path

import jax
import numpy as np
import pytest

from cnn_jax import Dataset, Experiment, InputError, Part
from cnn_jax.data.augmentations import AUGMENTATIONS
from cnn_jax.experiment import build
from cnn_jax.studies.summary.sheets import sheets_page
from tests.browser import Browser, require_sound


def dataset(channels: int = 1, size: int = 9) -> Dataset:
    images = np.random.default_rng(0).integers(0, 256, (12, size, size, channels), dtype=np.uint8)
    return Dataset.from_arrays(images, np.arange(12) % 10, images, np.arange(12) % 10, name="own", mnist_form=False)


def page(*augment: Part | str, own: Dataset | None = None, **tables: dict) -> str:
    found = own or dataset()
    experiment = Experiment(datasets={"own": lambda: found}, **tables).vary(
        dataset="own", model="logistic", augment=augment
    )
    return sheets_page(experiment, build(experiment, fused=False), found)


def titles(html: str) -> list[str]:
    return re.findall(r"<h2>(.*?)</h2>", html)[1:]  # the first says how to read the page


@pytest.mark.slow
def test_chosen_augmentations_are_shown_one_by_one_and_together() -> None:
    html = page(Part("flip", probability=0.7), Part("cutmix", alpha=2.0))
    assert titles(html) == ["flip", "cutmix", "All 2, in this order"]
    for setting in ("--augment.flip.probability=0.7", "--augment.cutmix.alpha=2.0"):
        assert f"<code>{setting}</code>" in html
    assert "Yun et al." in html, "the words of the docstring"
    assert "Take care: <code>--augment=flip</code>: if the classes 2, 3, 4, ... are digits or letters" in html
    assert html.count('<svg role="img"') == 3


def test_weights_of_labels_stand_above_mixtures() -> None:
    html = page("mixup")
    assert titles(html) == ["mixup"]
    shares = [int(share) for share in re.findall(r">(\d+)% \d<", html)]
    assert len(shares) == 2 * 5 * 3, "two labels above each of three draws for five images"
    assert all(one + other in (99, 100, 101) for one, other in zip(shares[::2], shares[1::2], strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("own", [dataset(3), dataset(1, 120)], ids=["colour", "large"])
def test_all_are_shown_where_none_is_chosen_with_those_of_the_user(
    own: Dataset, browser: Browser, tmp_path: Path
) -> None:
    def darker(key: jax.Array, images: jax.Array, factor: float = 0.5) -> jax.Array:
        return factor * images

    html = page(own=own, augmentations={"darker": darker})
    assert titles(html) == [*AUGMENTATIONS, "darker"]
    assert "<code>--augment.darker.factor=0.5</code>" in html
    # Noise cannot be compressed. In their own size, the large images would make 17 million characters.
    assert len(html) < (3_000_000 if own.spec.image_shape[0] < 64 else 9_000_000)
    (tmp_path / "page.html").write_text(html)
    require_sound(browser, tmp_path / "page.html")


def test_augmentation_of_the_table_that_changes_the_shape_is_refused_by_its_name() -> None:
    def smaller(key: jax.Array, images: jax.Array) -> jax.Array:
        return images[:, 1:]

    with pytest.raises(InputError, match="the augmentation smaller must keep shape and dtype"):
        page("shift", "smaller", augmentations={"smaller": smaller})
