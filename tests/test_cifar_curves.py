"""The README's numbers on CIFAR-10, and its picture, are made from the stored record."""

import json

from experiments.results import cifar_curves, readme
from tests.conftest import PROJECT

MODELS = json.loads(cifar_curves.RECORD.read_text())


def test_readme_shows_the_stored_numbers() -> None:
    text = (PROJECT / "README.md").read_text()
    assert readme.replaced(text, "cifar", cifar_curves.sentence(MODELS)) == text


def test_every_model_has_a_curve_of_training_images_and_of_held_out_ones() -> None:
    for model in MODELS:
        assert {len(of_seeds) for of_seeds in model["curves"].values()} == {model["test_accuracy"]["n"]}
        for what in cifar_curves.MEASURES.values():
            assert f"{model['name']}, {what}" in cifar_curves.FIGURE.read_text()
