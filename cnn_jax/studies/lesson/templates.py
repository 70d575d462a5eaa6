"""Part 2, convolution filters on X and O: templates, their maps, and what can be told from them without learning."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from cnn_jax.data import x_and_o
from cnn_jax.data.dataset import Dataset, Split
from cnn_jax.studies.lesson import template

ARRAYS: Mapping[str, str] = {
    "x": "float32 [9, 9]: the canonical X, ink +1 and paper -1",
    "o": "float32 [9, 9]: the canonical O",
    "x_templates": "float64 [3, 3, 3]: the templates of X, named in `x_template_names`",
    "x_maps": "float64 [3, 7, 7]: their responses on the canonical X",
    "o_templates": "float64 [6, 3, 3]: the templates of O, named in `o_template_names`",
    "o_maps": "float64 [6, 7, 7]: their responses on the canonical O",
    "step_places": "int64 [3, 2]: row and column of the windows that are worked out step by step",
    "step_windows": "float64 [3, 3, 3]: those windows of the canonical X",
    "step_products": "float64 [3, 3, 3]: their products with the first template",
    "step_responses": "float64 [3]: the products' means",
    "told_bitmaps": "float32 [12, 9, 9]: the first test images of x_and_o",
    "told_labels": "int32 [12]: what they show, 0 for X, 1 for O",
    "told_answers": "int32 [12]: what the templates say of them",
}

_STEPS = ((0, 0), (1, 1), (0, 1))  # one wrong pixel; a match; five wrong pixels
_TOLD = 12


def compute(dataset: Dataset) -> dict[str, Any]:
    """Everything about templates. dataset: `x_and_o`, whose test images are told apart."""
    x, o = (dataset.spec.inputs(bitmap) for bitmap in (x_and_o.canonical_x(), x_and_o.canonical_o()))
    bitmaps, answers = _told_apart(dataset, dataset.test)
    return {
        "x": x,
        "o": o,
        **_maps("x", x, template.OF_X),
        **_maps("o", o, template.OF_O),
        **_step_by_step(x, next(iter(template.OF_X.values()))),
        "classes": list(dataset.spec.classes),
        "told_bitmaps": bitmaps[:_TOLD],
        "told_labels": dataset.test.labels[:_TOLD],
        "told_answers": answers[:_TOLD],
        "accuracy": float(np.mean(answers == dataset.test.labels)),
        "right": int(np.sum(answers == dataset.test.labels)),
        "examples": len(dataset.test),
        "accuracy_of": {
            name: float(np.mean(answers[dataset.test.labels == label] == label))
            for label, name in enumerate(dataset.spec.classes)
        },
    }


def _maps(letter: str, bitmap: np.ndarray, templates: Mapping[str, np.ndarray]) -> dict[str, Any]:
    return {
        f"{letter}_template_names": list(templates),
        f"{letter}_templates": np.stack(list(templates.values())),
        f"{letter}_maps": np.stack([template.response(bitmap, pattern) for pattern in templates.values()]),
    }


def _step_by_step(bitmap: np.ndarray, pattern: np.ndarray) -> dict[str, np.ndarray]:
    """Single windows with their products and means."""
    height, width = pattern.shape
    windows = np.stack([bitmap[row : row + height, column : column + width] for row, column in _STEPS])
    products = windows * pattern
    return {
        "step_places": np.array(_STEPS),
        "step_windows": windows.astype(np.float64),
        "step_products": products,
        "step_responses": products.mean(axis=(1, 2)),
    }


def _told_apart(dataset: Dataset, split: Split) -> tuple[np.ndarray, np.ndarray]:
    """Inputs of a split's images without their channel, and labels that the templates alone give them."""
    bitmaps = dataset.spec.inputs(split.images[..., 0])
    answers = np.where(template.looks_like_x(bitmaps), x_and_o.LABEL_X, x_and_o.LABEL_O)
    return bitmaps, answers.astype(np.int32)
