"""The sections say and draw what their records hold."""

from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from cnn_jax.report.page import Figure, Section, Table
from cnn_jax.studies.lesson import features_page as features
from cnn_jax.studies.lesson import pooling_page as pooling


def features_record() -> dict[str, Any]:
    maps = {"Conv_0": np.linspace(-1, 2, 26 * 26 * 32).reshape(26, 26, 32), "Dense_0": np.arange(3.0)}
    layers = [
        {
            "name": name,
            "shape": array.shape,
            "values": array.size,
            "smallest": -1.0,
            "largest": 2.0,
            "negative_share": 0.3,
        }
        for name, array in maps.items()
    ]
    return {
        "experiment": "lecture_cnn",
        "dataset": "mnist",
        "classes": ("a", "b", "c"),
        "label": "b",
        "guess": "c",
        "image": np.zeros((28, 28, 1), np.uint8),
        "maps": maps,
        "layers": layers,
        "probabilities": np.array([0.1, 0.2, 0.7]),
        "filters": np.ones((3, 3, 1, 32)),
        "filters_of": "Conv_0",
    }


def model(factor: int) -> dict[str, Any]:
    layer = {"parameters": 10 * factor, "multiply_adds": 2_000_000 * factor, "activations": 30 * factor, "agrees": True}
    seen = {"field": (3, 3), "measured_field": (3, 3), "box": (1, 1, 4, 4)}
    rows = [{"name": "Conv_0", "shape": (6, 6, 2)} | layer | seen, {"name": "Dense_0", "shape": (4,)} | layer | seen]
    totals = {name: 2 * layer[name] for name in ("parameters", "multiply_adds", "activations")}
    return {
        "layers": rows,
        **totals,
        "last_map": rows[0],
        "dense_parameters": 10 * factor,
        "measured": {"Conv_0": np.ones((8, 8), bool)},
    }


def pooling_record() -> dict[str, Any]:
    deep = model(7)
    return {
        "image": np.zeros((8, 8, 1), np.uint8),
        "image_shape": (8, 8, 1),
        "with_pooling": model(1),
        "without_pooling": model(5),
        "deep": {"count": 3, "kernel_size": 3, "last_map": deep["layers"][0], "variants": [deep | {"width": 64}]},
    }


def words(section: Section) -> str:
    return " ".join(block for block in section.blocks if isinstance(block, str))


@pytest.mark.parametrize("section", [features.section(features_record()), pooling.section(pooling_record())])
def test_drawings_are_whole_and_have_words(section: Section) -> None:
    drawings = [block for block in section.blocks if isinstance(block, Figure)]
    assert drawings
    for block in drawings:
        assert ElementTree.fromstring(block.svg).get("aria-label")
        assert block.caption


def test_every_map_of_a_layer_is_in_one_small_picture() -> None:
    section = features.section(features_record())
    [drawing] = [b for b in section.blocks if isinstance(b, Figure) and b.caption.startswith("Conv_0: 26 x 26 x 32")]
    assert drawing.svg.count("<image") == 1
    assert len(drawing.svg) < 100_000
    assert "The darkest colour is 2.00" in drawing.caption
    assert "takes it for c with a probability of 70.0%" in words(section)


def test_pooling_says_how_much_it_saves_and_that_fields_agree() -> None:
    section = pooling.section(pooling_record())
    assert "5.0 times smaller and 5.0 times cheaper" in words(section)
    assert "for 4 of 4 layers" in words(section)
    assert "all units together see 3 x 3 of the 8 x 8 pixels" in words(section)
    tables = [block for block in section.blocks if isinstance(block, Table)]
    assert [table.rows[-1][0] for table in tables[:2]] == ["total", "total"]
    assert tables[2].rows[1] == ["without, 3 convolutions of 64 filters", "140", "28.0", "7.0", "420"]
