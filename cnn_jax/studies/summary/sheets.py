"""A page with a sheet for each augmentation: images of the dataset, and what random draws make of them."""

import dataclasses
import inspect
from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from cnn_jax import compilation, program
from cnn_jax.data import augmentations
from cnn_jax.data.augmentations import Augment, Mixed
from cnn_jax.data.dataset import Dataset
from cnn_jax.experiment import Experiment
from cnn_jax.report import pictures
from cnn_jax.report.page import Block, Figure, Page, Section, render
from cnn_jax.settings import as_text
from cnn_jax.training.checks import require_augmentations
from cnn_jax.training.learner import Learner

_IMAGES, _DRAWS, _DRAWS_OF_MIXTURES = 5, 7, 3


def _with_all(experiment: Experiment) -> Experiment:
    """The experiment, with every augmentation of its table where it chooses none."""
    return experiment if experiment.config.augment else experiment.vary(augment=(*experiment.entries("augmentations"),))


def sheets_page(experiment: Experiment, learner: Learner, dataset: Dataset) -> str:
    """The page of the experiment's augmentations, or of all where it chooses none.

    Raises InputError where one of them does not keep its promise.
    """
    chosen = _with_all(experiment)
    made = {part.name: chosen.make(f"augment.{part}") for part in chosen.config.augment}
    for name, augment in made.items():
        require_augmentations(dataclasses.replace(learner, augmentations={name: augment}))
    sections = [Section("How to read this page", _explanation(chosen, dataset))]
    sections += [
        Section(name, [*_described(chosen, name), _sheet(name, augment, chosen, dataset)])
        for name, augment in made.items()
    ]
    if len(made) > 1 and chosen is experiment:
        everything = partial(augmentations.apply, tuple(made.values()))
        words = "This is what training sees: each augmentation changes what the one before it gives."
        title = f"All {len(made)}, in this order"
        sections.append(Section(title, [words, _sheet(", ".join(made), everything, chosen, dataset)]))
    named = f"the augmentations of {experiment.config.experiment}" if chosen is experiment else "each augmentation"
    lead = f"What {named} can make of training images of the dataset {dataset.spec.name}."
    return render(Page("Augmentations", lead, sections, f"Made by {program.name()} --mode=summary."))


def _explanation(experiment: Experiment, dataset: Dataset) -> list[str]:
    ink = "" if dataset.spec.image_shape[2] == 3 else " Of grey images, light is shown dark, like ink on paper."
    return [
        f"The left column of each sheet shows the first training images. Beside each image are "
        f"random draws: what one step of training could see instead of it.{ink}",
        "In training, each image gets new random numbers in each step, and these come from the seed. Validation and "
        "test images are never changed.",
        "Choose augmentations with --augment, separated by commas; they follow each other in this order. Each setting "
        "is a flag, which stands above the sheet with its value.",
        *(f"Take care: {remark}." for remark in augmentations.remarks(experiment.config.augment, dataset.spec.classes)),
    ]


def _described(experiment: Experiment, name: str) -> list[Block]:
    """What an augmentation does, in the words of its docstring, and its settings."""
    part = experiment.config.parts()[f"augment.{name}"]
    doc = inspect.getdoc(experiment.entries("augmentations")[name]) or ""
    settings = []
    for setting, value in part.items:
        about = experiment.settings[f"augment.{name}.{setting}"].about.help
        settings.append(f"--augment.{name}.{setting}={as_text(value)}{about and f' ({about})'}")
    words = [" ".join(paragraph.split()).replace("`", "") for paragraph in doc.split("\n\n") if paragraph]
    return [*words, f"Settings: {'; '.join(settings)}." if settings else "It has no settings."]


def _sheet(name: str, augment: Augment, experiment: Experiment, dataset: Dataset) -> Figure:
    """Images of the dataset in the left column, and a draw for all of them in each other column."""
    split = dataset.train[:_IMAGES]
    keys = jax.random.split(jax.random.key(experiment.config.seed), _DRAWS)
    result = _draws(augment, keys, split.images)
    alt = f"{len(split)} training images of {dataset.spec.name}, and random draws of {name} beside each"
    if isinstance(result, Mixed):
        return _sheet_of_mixtures(alt, result, split.images, [dataset.spec.classes[label] for label in split.labels])
    rows = np.concatenate([split.images[:, None], np.moveaxis(_bytes(result), 0, 1)], axis=1)
    return Figure(pictures.sheet(alt, rows), f"Left: the images. Right: {_DRAWS} random draws for each.")


def _sheet_of_mixtures(alt: str, mixed: Mixed, images: np.ndarray, classes: Sequence[str]) -> Figure:
    """The same with fewer draws, and the labels with their weights above each."""
    shown, titles = [], []
    drawn, partners, weights = (_bytes(mixed.images), np.asarray(mixed.partners), np.asarray(mixed.weight))
    for row, name in enumerate(classes):
        shown += [images[row], *drawn[:_DRAWS_OF_MIXTURES, row]]
        titles.append(_short(name))
        for draw in range(_DRAWS_OF_MIXTURES):
            weight, partner = weights[draw, row], _short(classes[partners[draw, row]])
            titles.append(f"{weight:.0%} {_short(name)}\n{1 - weight:.0%} {partner}")
    figure = pictures.gallery(alt, shown, titles, columns=1 + _DRAWS_OF_MIXTURES, cell=(1.3, 1.65), low=0, high=255)
    return Figure(
        figure, f"Left: the images. Right: {_DRAWS_OF_MIXTURES} random draws for each, and the labels' weights."
    )


def _draws(augment: Augment, keys: jax.Array, images: np.ndarray) -> Any:
    """What the augmentation gives for these images with each of the keys, with an axis for the keys in front."""
    jitted = compilation.jit(jax.vmap(augment, (0, None)), runs_once=True)
    return jax.device_get(jitted(keys, jnp.asarray(images, jnp.float32) / 255))


def _bytes(images: Any) -> np.ndarray:
    return np.clip(np.rint(255 * images), 0, 255).astype(np.uint8)


def _short(name: str) -> str:
    return name if len(name) <= 10 else f"{name[:9]}…"
