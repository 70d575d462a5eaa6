"""A page with the live parts alone, of networks whose parameters are random."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from cnn_jax.data.dataset import Dataset
from cnn_jax.experiment import Experiment, build
from cnn_jax.report.page import Page, render
from cnn_jax.studies.lesson.live.payload import Trained, compute
from cnn_jax.studies.lesson.live.scripts import scripts
from cnn_jax.studies.lesson.live.section import sections
from tests.browser import Browser, Tab

COMPUTED = """new Promise(done => {
  const ask = () => Lesson.state.fields.maps.every(Boolean) ? done() : setTimeout(ask, 20);
  ask();
})"""


def random_variables(experiment: Experiment, seed: int = 0) -> Mapping[str, Any]:
    """Variables of the size that training gives, made without compiling anything."""
    rng = np.random.default_rng(seed)

    def values(leaf: Any) -> np.ndarray:
        deviation = 0.05 if len(leaf.shape) == 1 else np.sqrt(2 / np.prod(leaf.shape[:-1]))
        return rng.normal(0, deviation, leaf.shape).astype(np.float32)

    return jax.tree.map(values, jax.eval_shape(build(experiment).init, jax.random.key(0)))


def trained(title: str, **settings: Any) -> Trained:
    experiment = Experiment().vary(**settings)
    return Trained(title, "random numbers.", experiment, random_variables(experiment))


SMALL = (
    trained("With pooling", widths=(4, 8, 16)),
    trained("Without pooling", widths=(4, 8, 16), pooling=False),
    trained("Dense", model="dense", widths=(16,)),
)


@pytest.fixture(scope="session")
def write_page(drawn_digits: Dataset) -> Callable[..., Path]:
    """Writes the page of networks into a folder."""

    def write(folder: Path, networks: Any) -> Path:
        data = compute(networks, drawn_digits.spec, drawn_digits.test, drawn_digits.test.images[0])
        path = folder / "live.html"
        path.write_text(render(Page("Live", "What is tried.", sections(data), "A test.", scripts(data))))
        return path

    return write


@pytest.fixture(scope="session")
def page(write_page: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of three small networks."""
    return write_page(tmp_path_factory.mktemp("live"), SMALL)


@pytest.fixture
def tab(browser: Browser, page: Path) -> Iterator[Tab]:
    """The page, opened and computed. At the end it has complained about nothing and asked for nothing."""
    with browser.opened(page) as opened:
        opened.evaluate(COMPUTED)
        yield opened
        assert opened.complaints == []
        assert opened.requests == []
