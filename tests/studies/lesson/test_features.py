"""The part on feature maps shows the network's own maps, filters and probabilities."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn_jax.compilation import jit
from cnn_jax.config import Config
from cnn_jax.data.dataset import Spec
from cnn_jax.experiment import build_module
from cnn_jax.studies.lesson import features
from cnn_jax.training import programs


def computed(spec: Spec, **settings: Any) -> tuple[dict[str, Any], Any]:
    config = Config(**settings)
    example = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), programs.input_shapes(config, spec))
    params = jit(build_module(config, 10).init, runs_once=True)(jax.random.key(0), example)["params"]
    image = np.random.default_rng(0).integers(0, 256, spec.image_shape, dtype=np.uint8)
    return features.compute(config, spec, params, image, 7), params


def test_maps_filters_and_probabilities_of_the_lecture_cnn(drawn_spec: Spec) -> None:
    record, params = computed(drawn_spec)
    shapes = [output.shape for output in record["maps"].values()]
    assert shapes[:5] == [(26, 26, 32), (13, 13, 32), (11, 11, 64), (5, 5, 64), (3, 3, 128)]
    np.testing.assert_array_equal(record["filters"], params["Conv_0"]["kernel"])
    assert record["probabilities"].sum() == pytest.approx(1, abs=1e-5)
    assert record["label"] == drawn_spec.classes[7]
    first = record["layers"][0]
    assert first["negative_share"] == np.mean(record["maps"]["Conv_0"] < 0)
    assert (first["smallest"], first["largest"]) == (record["maps"]["Conv_0"].min(), record["maps"]["Conv_0"].max())
    arrays = {name for name, value in record.items() if isinstance(value, np.ndarray)}
    assert features.ARRAYS.keys() == arrays | {"maps/LAYER"}


def test_filters_of_a_dense_network_have_the_image_s_form(drawn_spec: Spec) -> None:
    record, params = computed(drawn_spec, model="dense", widths=(6,))
    assert record["filters"].shape == (28, 28, 1, 6)
    np.testing.assert_array_equal(record["filters"][3, 4, 0], params["Dense_0"]["kernel"][3 * 28 + 4])


def test_model_with_two_inputs_and_outputs_has_maps_too(drawn_spec: Spec) -> None:
    record, _ = computed(drawn_spec, model="graph", view="with_metadata", widths=(4, 8))
    assert record["maps"]["Conv_0"].shape == (26, 26, 4)
    assert record["probabilities"].shape == (10,)
