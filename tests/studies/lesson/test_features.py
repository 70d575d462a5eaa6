"""The part on feature maps shows the network's own maps, filters and probabilities."""

from typing import Any

import jax
import numpy as np
import pytest
from flax import linen as nn

from cnn_jax import data
from cnn_jax.compilation import jit
from cnn_jax.data.dataset import Spec
from cnn_jax.experiment import Experiment, build
from cnn_jax.report.page import Card
from cnn_jax.studies.lesson import features
from cnn_jax.studies.lesson.followed import Followed
from tests.studies.lesson.sections import figures, require_described_figures, require_documented_arrays, tables, words


def computed(spec: Spec, **settings: Any) -> tuple[dict[str, Any], Any]:
    experiment = Experiment().vary(**settings)
    variables = jit(build(experiment, spec).init, runs_once=True)(jax.random.key(0))
    image = np.random.default_rng(0).integers(0, 256, spec.image_shape, dtype=np.uint8)
    return features.compute(experiment, spec, variables, Followed(image, "a picture")), variables["params"]


@pytest.fixture(scope="module")
def lecture_cnn() -> tuple[dict[str, Any], Any]:
    """The record of the lecture's CNN with random parameters, and these."""
    return computed(data.spec("mnist"))


@pytest.mark.slow
def test_maps_filters_and_probabilities_of_the_lecture_cnn(lecture_cnn: tuple[dict[str, Any], Any]) -> None:
    record, params = lecture_cnn
    shapes = [output.shape for output in record["maps"].values()]
    assert shapes[:5] == [(26, 26, 32), (13, 13, 32), (11, 11, 64), (5, 5, 64), (3, 3, 128)]
    np.testing.assert_array_equal(record["filters"], params["Conv_0"]["kernel"])
    assert record["probabilities"].sum() == pytest.approx(1, abs=1e-5)
    first = record["layers"][0]
    assert first["negative_share"] == np.mean(record["maps"]["Conv_0"] < 0)
    assert (first["smallest"], first["largest"]) == (record["maps"]["Conv_0"].min(), record["maps"]["Conv_0"].max())
    require_documented_arrays(record, features.ARRAYS)


def test_section_shows_every_map_of_a_layer_in_one_small_picture(lecture_cnn: tuple[dict[str, Any], Any]) -> None:
    record, _ = lecture_cnn
    section = features.section(record)
    [drawing] = [figure for figure in figures(section) if figure.caption.startswith("Conv_0: 32 maps of 26 x 26")]
    assert drawing.svg.count("<image") == 2, "the maps and their scale"
    assert len(drawing.svg) < 100_000
    largest = np.abs(record["maps"]["Conv_0"]).max()
    assert f">\u2212{largest:.2f}<" in drawing.svg and f">+{largest:.2f}<" in drawing.svg, "the ends of the scale"
    assert "We follow a picture, through the network of the experiment lecture_cnn." in words(section)
    [card] = [block for block in section.blocks if isinstance(block, Card)]
    probability = 100 * record["probabilities"].max()
    assert card.words == f"The network answers {record['guess']}, with a probability of {probability:.1f} %."
    assert [*card.shares.values()] == record["probabilities"].tolist()
    [table] = tables(section)
    assert [row[0] for row in table.rows] == list(record["maps"])
    assert table.rows[0][1:3] == ["26 x 26 x 32", "21,632"]
    assert any(figure.caption.startswith("The 32 learned filters of Conv_0: 3 x 3") for figure in figures(section))
    require_described_figures(section)


def test_filters_of_a_dense_network_have_the_image_s_form(drawn_spec: Spec) -> None:
    record, params = computed(drawn_spec, model="dense", widths=(6,))
    assert record["filters"].shape == (28, 28, 1, 6)
    np.testing.assert_array_equal(record["filters"][3, 4, 0], params["Dense_0"]["kernel"][3 * 28 + 4])


class Normalized(nn.Module):
    classes: int

    @nn.compact
    def __call__(self, images: jax.Array, *, train: bool = False) -> jax.Array:
        x = nn.BatchNorm(use_running_average=not train)(nn.Conv(3, (5, 5), strides=2)(images))
        return nn.Dense(self.classes)(nn.relu(x).mean((1, 2)))


@pytest.mark.slow
def test_own_model_has_maps_and_filters_too(drawn_spec: Spec) -> None:
    experiment = Experiment(models={"normalized": Normalized}).vary(model="normalized")
    variables = build(experiment, drawn_spec).init(jax.random.key(0))
    image = np.zeros(drawn_spec.image_shape, np.uint8)
    record = features.compute(experiment, drawn_spec, variables, Followed(image, "a picture"))
    assert {name: maps.shape for name, maps in record["maps"].items()} == {
        **{"Conv_0": (14, 14, 3), "BatchNorm_0": (14, 14, 3), "Dense_0": (10,)}
    }
    np.testing.assert_array_equal(record["filters"], variables["params"]["Conv_0"]["kernel"])
    require_described_figures(features.section(record))


@pytest.mark.slow
def test_model_with_two_inputs_and_outputs_has_maps_too(drawn_spec: Spec) -> None:
    record, _ = computed(drawn_spec, model="two_inputs_two_outputs", task="with_metadata", widths=(4, 8))
    assert record["maps"]["Conv_0"].shape == (26, 26, 4)
    assert record["probabilities"].shape == (10,)
