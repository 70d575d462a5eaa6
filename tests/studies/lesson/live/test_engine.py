"""The page's scripts compute what Python computes: MNIST's form, and every output of every layer."""

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cnn_jax import data
from cnn_jax.data.dataset import Dataset, Spec
from cnn_jax.data.mnist_form import mnist_form
from cnn_jax.experiment import build
from cnn_jax.models.summary import feature_maps
from cnn_jax.studies.lesson.live.chain import rounded
from cnn_jax.studies.lesson.live.payload import Trained
from tests.browser import Browser, Tab
from tests.studies.lesson.live.conftest import COMPUTED, SMALL, trained
from tests.studies.lesson.live.test_chain import STOCK, random_variables

BYTES = "const bytes = text => Uint8Array.from(atob(text), sign => sign.charCodeAt(0));"


def as_text(array: np.ndarray) -> str:
    return json.dumps(base64.b64encode(array.astype(np.uint8).tobytes()).decode())


def outputs(tab: Tab, network: int, image: np.ndarray) -> dict[str, np.ndarray]:
    """What the page computes for an image: the output of each layer by its name, before any ReLU."""
    found = tab.evaluate(
        f"""(() => {{ {BYTES}
        const text = array => {{
          let all = ""; const parts = new Uint8Array(array.buffer);
          for (let at = 0; at < parts.length; at += 8192) all += String.fromCharCode(...parts.subarray(at, at + 8192));
          return btoa(all);
        }};
        const network = Lesson.state.fields.networks[{network}];
        const maps = Lesson.network.run(network, bytes({as_text(image)}));
        return network.layers.map((layer, at) => [layer.name, text(Float32Array.from(maps[at].sums))]) }})()"""
    )
    return {name: np.frombuffer(base64.b64decode(text), np.float32) for name, text in found}


def largest_difference(tab: Tab, networks: Any, spec: Spec, images: np.ndarray) -> float:
    """The largest difference of any output of any layer from that of JAX, for the same float16 parameters."""
    found = [0.0]
    for index, network in enumerate(networks):
        learner = build(network.experiment, spec, fused=False)
        expected = feature_maps(learner.module, rounded(network.variables), learner.inputs(images))
        for at, image in enumerate(images):
            computed = outputs(tab, index, image)
            found += [
                float(np.abs(computed[name] - np.ravel(maps[at])).max())
                for name, maps in expected.items()
                if not name.startswith("Dropout")  # outside training it does nothing, and the page has no such layer
            ]
    return max(found)


def test_outputs_of_every_layer_are_those_of_jax(tab: Tab, drawn_digits: Dataset) -> None:
    assert largest_difference(tab, SMALL, drawn_digits.spec, drawn_digits.test.images[:2]) < 1e-4


@pytest.mark.slow
def test_outputs_of_stock_layers_with_padding_and_strides_are_those_of_jax(
    browser: Browser, write_page: Callable[..., Path], drawn_digits: Dataset, tmp_path: Path
) -> None:
    networks = [Trained("Stock", "", STOCK, random_variables(STOCK))]
    with browser.opened(write_page(tmp_path, networks)) as opened:
        assert largest_difference(opened, networks, drawn_digits.spec, drawn_digits.test.images[:10]) < 1e-4


@pytest.mark.slow
def test_both_networks_of_the_lecture_are_those_of_jax_on_100_mnist_images(
    browser: Browser, write_page: Callable[..., Path], mnist_data_dir: Path, tmp_path: Path
) -> None:
    networks = [trained("With pooling"), trained("Without pooling", pooling=False)]
    mnist = data.load("mnist", data_dir=mnist_data_dir)
    with browser.opened(write_page(tmp_path, networks)) as opened:
        opened.evaluate(COMPUTED)
        assert largest_difference(opened, networks, mnist.spec, mnist.test.images[:100]) < 1e-4
        assert opened.complaints == []


def forms(tab: Tab, inks: list[np.ndarray]) -> np.ndarray:
    """The pictures that the page makes of ink, uint8 [N, 28, 28]."""
    calls = [f"Lesson.form.steps({{side: {len(ink)}, pixels: bytes({as_text(ink)})}}).seen" for ink in inks]
    found = tab.evaluate(f"(() => {{ {BYTES} return [{','.join(f'Array.from({call})' for call in calls)}] }})()")
    return np.array(found, np.uint8).reshape(-1, 28, 28)


def on_paper(digit: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A digit of random size, aspect and place on square paper of random size: uint8 [side, side]."""
    side = int(rng.integers(28, 281))
    height, width = rng.integers(4, side + 1, 2)
    placed = np.zeros((side, side), np.uint8)
    top, left = rng.integers(0, side - height + 1), rng.integers(0, side - width + 1)
    placed[top : top + height, left : left + width] = Image.fromarray(digit).resize((int(width), int(height)))
    return placed


def strokes(rng: np.random.Generator) -> np.ndarray:
    """Some bars, which have exact ties: uint8 [side, side]."""
    side = int(rng.integers(8, 121))
    ink = np.zeros((side, side), np.uint8)
    for _ in range(rng.integers(1, 4)):
        top, left = rng.integers(0, side, 2)
        ink[top : top + rng.integers(1, side), left : left + rng.integers(1, 4)] = rng.integers(1, 256)
    return ink


def test_form_of_200_pictures_is_that_of_python(tab: Tab, drawn_digits: Dataset) -> None:
    rng = np.random.default_rng(0)
    inks = [on_paper(image[..., 0], rng) for image in drawn_digits.test.images[:100]]
    inks += [strokes(rng) for _ in range(100)]
    expected = np.stack([mnist_form(ink)[..., 0] for ink in inks])
    assert np.abs(forms(tab, inks).astype(int) - expected).max() <= 1


@pytest.mark.slow
def test_form_of_200_mnist_digits_is_that_of_python(tab: Tab, mnist_data_dir: Path) -> None:
    rng, images = np.random.default_rng(1), data.load("mnist", data_dir=mnist_data_dir).test.images[:200, ..., 0]
    inks = [on_paper(image, rng) for image in images]
    expected = np.stack([mnist_form(ink)[..., 0] for ink in inks])
    assert np.abs(forms(tab, inks).astype(int) - expected).max() <= 1
    # MNIST's own digits have the form already; a few of them are off by a pixel.
    same = np.mean([np.array_equal(mnist_form(image)[..., 0], image) for image in images])
    assert same > 0.9
