"""Parts that do not fit each other are refused in one line, before anything is compiled."""

import dataclasses
import re
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn

from cnn_jax import Config, Dataset, Experiment, InputError, Mixed, Part, Task, train
from cnn_jax.experiment import build
from cnn_jax.training.checks import require_numbers

IMAGES = np.zeros((8, 9, 9), np.uint8)
LABELS = np.arange(8) % 2


class Nothing(nn.Module):
    """A module without parameters."""

    classes: int

    @nn.compact
    def __call__(self, images: jax.Array) -> jax.Array:
        return images.mean((1, 2, 3))[:, None] * jnp.ones((1, self.classes))


class InBfloat16(nn.Module):
    """A module whose logits are bfloat16."""

    classes: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, images: jax.Array) -> jax.Array:
        return nn.Dense(self.classes, dtype=jnp.bfloat16)(images.reshape(len(images), -1))


class Told(nn.Module):
    """A module that expects to be told by another name whether it is in training."""

    classes: int

    @nn.compact
    def __call__(self, images: jax.Array, training: bool = False) -> jax.Array:
        return nn.Dense(self.classes)(nn.Dropout(0.5, deterministic=not training)(images.reshape(len(images), -1)))


def experiment(**parts: Any) -> Experiment:
    """An experiment on eight dark images; parts: fields of the Config, or tables with an entry `mine`."""
    tables = {name: {"mine": entry} for name, entry in parts.items() if name.endswith("s") and name != "epochs"}
    chosen = {"models": "model", "losses": "loss", "optimizers": "optimizer", "schedules": "schedule"}
    chosen |= {"averages": "average", "tasks": "task"}
    fields: dict[str, Any] = {chosen[name]: Part("mine") for name in tables if name in chosen}
    if "augmentations" in tables:
        fields["augment"] = (Part("mine"),)
    fields |= {name: value for name, value in parts.items() if name not in tables}
    found = Dataset.from_arrays(IMAGES, LABELS, IMAGES, LABELS)
    fields = {"model": Part("logistic"), "dataset": Part("dark"), "epochs": 1, **fields}
    return Experiment(Config(**fields), datasets={"dark": lambda: found}, **tables)


def mixing(partners: Callable, weight: Callable) -> Callable:
    return lambda key, images: Mixed(images, partners(len(images)), weight(len(images)))


ROWS = jnp.arange


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ({"augmentations": mixing(ROWS, lambda n: jnp.ones((n, 1, 1, 1)))}, "the weight of Mixed must be float32 [N]"),
        ({"augmentations": mixing(ROWS, lambda n: 0.5)}, "the weight of Mixed must be float32 [N]"),
        ({"augmentations": mixing(jnp.ones, jnp.ones)}, "the partners of Mixed must be int32 [N]"),
        ({"schedules": lambda: 0.5}, "the schedule gives 0.5; it must give a function of the step"),
        ({"averages": lambda: lambda old, new, step: {}}, "the average must have the shapes and dtypes"),
        ({"averages": lambda: lambda old, new: old}, "the average: TypeError"),
        ({"models": Nothing}, "has no parameters: there is nothing to train"),
        (
            {"tasks": lambda: Task(lambda images: images, lambda labels: {"a": labels, "b": labels})},
            "the task has the outputs a, b, and main_output=None does not name one",
        ),
        (
            {"tasks": lambda: Task(lambda images: images, lambda labels: {"a": labels}, main_output="c")},
            "the task has the outputs a, and main_output='c' does not name one",
        ),
        (
            {"tasks": lambda: Task(lambda images: images, lambda labels: labels, main_output="a")},
            "the task has one output, and main_output='a' does not name one",
        ),
        (
            {"tasks": lambda: Task(lambda images: images, lambda labels: labels.astype(jnp.float32))},
            "the targets of the task must be integers [N]; they are float32 (61,)",
        ),
        ({"schedules": optax.cosine_decay_schedule(1.0, 100)}, "must be made by a function of the number of steps"),
        ({"schedules": lambda step: 0.95**step}, "must be made by a function of the number of steps"),
        ({"schedules": lambda: lambda step: None}, "the schedule gives None for a step"),
        ({"optimizers": lambda: optax.adam(1e-3)}, "the optimizer: TypeError: "),
        ({"optimizers": lambda rate: optax.MultiSteps(optax.adam(rate), 4)}, "give its .gradient_transformation()"),
        ({"models": Told}, "takes training, which is never given. Name the argument train"),
    ],
)
def test_part_that_does_not_fit_is_refused_in_one_line(parts: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError) as refusal:
        build(experiment(**parts))
    assert said in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("loss", "said"),
    [
        (lambda logits, labels: (logits - jax.nn.one_hot(labels, 4)).sum(0), "it gives float32 (4,)"),
        (lambda logits, labels: -jax.nn.log_softmax(logits)[jnp.arange(4), labels], "broadcasting"),
        (lambda logits, labels: logits.mean() * jnp.ones(4), "it gives float32 (4,)"),
    ],
)
def test_loss_that_confuses_images_and_classes_is_refused_with_four_classes_too(loss: Callable, said: str) -> None:
    four = Dataset.from_arrays(IMAGES, np.arange(8) % 4, IMAGES, np.arange(8) % 4)
    with pytest.raises(InputError, match=re.escape(said)):
        build(dataclasses.replace(experiment(losses=loss), datasets={"dark": lambda: four}))


@pytest.mark.parametrize("change", [-1, 1])
def test_targets_that_are_no_classes_are_refused(change: int) -> None:
    shifted = experiment(tasks=lambda: Task(lambda images: images, lambda labels: labels + change))
    dataset = Dataset.from_arrays(IMAGES, LABELS, IMAGES, LABELS)
    with pytest.raises(InputError, match=f"from {change} to {1 + change}, and there are 2 classes"):
        require_numbers(build(shifted), dataset.train)


def test_two_augmentations_that_mix_are_refused() -> None:
    def mix(key: jax.Array, images: jax.Array) -> Mixed:
        return Mixed(images, jnp.arange(len(images)), jnp.ones(len(images)))

    found = experiment(augmentations=mix)
    both = Experiment(
        dataclasses.replace(found.config, augment=(Part("mine"), Part("again"))),
        datasets=found.datasets,
        augmentations={"mine": mix, "again": mix},
    )
    with pytest.raises(InputError, match=r"^--augment: mine and again both mix images\. Only one of them can\.$"):
        build(both)


def test_two_shipped_augmentations_that_mix_are_refused() -> None:
    with pytest.raises(InputError, match=r"^--augment: mixup and cutmix both mix images\. Only one of them can\.$"):
        build(experiment(augment=("mixup", "shift", "cutmix")))


def contrastive(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """The mean distance to the images of the same label: a number an image that depends on the others."""
    distances = jnp.sum((logits[:, None] - logits[None]) ** 2, axis=-1)
    is_same = labels[:, None] == labels[None]
    return jnp.sum(jnp.where(is_same, distances, 0.0), axis=1) / jnp.sum(is_same, axis=1)


def far_from_label(logits: jax.Array, labels: jax.Array) -> jax.Array:
    return jnp.sum((logits - jax.nn.one_hot(labels, logits.shape[-1])) ** 2, axis=-1)


@pytest.mark.parametrize("mix", ["mixup", "cutmix"])
def test_loss_that_compares_labels_is_refused_with_a_mixture(mix: str) -> None:
    with pytest.raises(InputError, match=f"the loss of an image depends on the labels of others, .* --augment={mix}"):
        build(experiment(losses=contrastive, augment=(mix,)))
    build(experiment(losses=contrastive, augment=("shift",)))
    build(experiment(losses=far_from_label, augment=(mix,)))


@pytest.mark.slow
def test_average_that_keeps_none_scores_the_trained_parameters() -> None:
    plain, off = (train(found, progress=False) for found in (experiment(), experiment(averages=lambda: None)))
    assert off.test_loss == plain.test_loss
    np.testing.assert_array_equal(off.params["Dense_0"]["bias"], plain.params["Dense_0"]["bias"])


@pytest.mark.slow
def test_logits_of_bfloat16_are_scored_in_float32() -> None:
    run = train(experiment(models=InBfloat16, dtype="bfloat16"), progress=False)
    assert np.isfinite(run.test_loss)


@pytest.mark.parametrize("labels", [LABELS - 1, LABELS + 2**32])
def test_labels_that_are_no_classes_are_refused(labels: np.ndarray) -> None:
    with pytest.raises(InputError, match=r"^arrays: train_labels: from .* to .*, expected classes from 0\.$"):
        Dataset.from_arrays(IMAGES, labels, IMAGES, LABELS)
