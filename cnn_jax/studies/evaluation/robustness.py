"""The accuracy of models on corrupted test images."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from cnn_jax.data.dataset import Split
from cnn_jax.studies.evaluation import corruptions

Infer = Callable[[np.ndarray], np.ndarray]  # uint8 images [N, H, W, C] -> float32 logits [seeds, N, classes]


def accuracies(
    models: Mapping[str, Infer], test: Split, names: Sequence[str], *, seed: int, note: Callable[[str], None]
) -> dict[str, dict[str, np.ndarray]]:
    """The accuracy of each model under each corruption at the strengths from 0 to 5: float64 [6, seeds].

    All models see the same corrupted images, which depend on `seed`. note: is called with a line of progress.
    """
    clean = {model: _accuracy(infer, test.images, test.labels) for model, infer in models.items()}
    rows: dict[str, dict[str, list]] = {model: {name: [clean[model]] for name in names} for model in models}
    for name in names:
        note(f"scoring images with {name}")
        for strength in corruptions.STRENGTHS[1:]:
            images = corruptions.corrupt(test.images, name, strength, seed)
            for model, infer in models.items():
                rows[model][name].append(_accuracy(infer, images, test.labels))
    return {model: {name: np.stack(row) for name, row in table.items()} for model, table in rows.items()}


def samples(images: np.ndarray, name: str, seed: int) -> np.ndarray:
    """The images at each strength: uint8 [6, N, H, W, C]."""
    return np.stack([corruptions.corrupt(images, name, strength, seed) for strength in corruptions.STRENGTHS])


def _accuracy(infer: Infer, images: np.ndarray, labels: np.ndarray) -> np.ndarray:
    return (infer(images).argmax(axis=-1) == labels).mean(axis=-1)
