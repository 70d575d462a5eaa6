"""Losses and metrics: one number an image, summed with a mask, and the cross-entropy beside every other loss."""

import json
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from cnn_jax.errors import InputError
from cnn_jax.experiment import Experiment, build
from cnn_jax.training import metrics
from cnn_jax.training.losses import LOSSES, METRICS, accuracy, cross_entropy, focal
from cnn_jax.training.metrics import Measures, Score

REFERENCE = json.loads((Path(__file__).parents[1] / "reference" / "training_reference.json").read_text())


def drawn(examples: int = 30, classes: int = 5, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Logits, labels and a mask."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 3, (examples, classes)).astype(np.float32)
    return logits, rng.integers(0, classes, examples, dtype=np.int32), rng.random(examples) < 0.7


def squared_error(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """A loss that a user might write."""
    return jnp.sum((jax.nn.softmax(logits) - jax.nn.one_hot(labels, logits.shape[-1])) ** 2, axis=-1)


def margin(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """A metric that a user might write: how far the largest logit is above the mean."""
    return jnp.max(logits, axis=-1) - jnp.mean(logits, axis=-1)


OWN = Measures(squared_error, {"margin": margin})


def batch_sums(measures: Measures, *arrays: object, mixed: object = None) -> metrics.MetricSums:
    return jax.device_get(measures.batch_sums(*jax.tree.map(jnp.asarray, arrays), jnp.int32(1), mixed))


def test_cross_entropy_is_minus_the_log_of_the_labels_probability() -> None:
    logits, labels, _ = drawn()
    probabilities = np.exp(logits.astype(float)) / np.exp(logits.astype(float)).sum(1, keepdims=True)
    expected = [-np.log(row[label]) for row, label in zip(probabilities, labels, strict=True)]
    np.testing.assert_allclose(cross_entropy(logits, labels), expected, rtol=1e-5, atol=1e-6)


def test_accuracy_is_one_for_a_hit() -> None:
    logits = np.array([[0.0, 2.0, 1.0], [3.0, 2.0, 1.0], [0.0, 0.0, 1.0]], np.float32)
    assert accuracy(logits, np.array([1, 1, 2])).tolist() == [1.0, 0.0, 1.0]


@pytest.mark.parametrize("function", [*LOSSES.values(), *METRICS.values()])
def test_each_image_has_one_number(function: metrics.PerImage) -> None:
    logits, labels, _ = drawn()
    found = function(jnp.asarray(logits), jnp.asarray(labels))
    assert (found.shape, found.dtype) == ((30,), jnp.float32)


@pytest.mark.slow
def test_another_loss_is_reported_with_cross_entropy_and_metrics_over_what_the_mask_keeps() -> None:
    logits, labels, mask = drawn()
    kept = logits[mask], labels[mask]
    by_sums = metrics.compute_metrics(batch_sums(OWN, logits, labels, mask))
    plain = metrics.score(*kept)
    for score in (by_sums, OWN.score(*kept)):
        assert score is not None
        np.testing.assert_allclose(score.loss, np.mean(squared_error(*kept)), rtol=1e-5)
        np.testing.assert_allclose(score.cross_entropy, plain.loss, rtol=1e-5)
        np.testing.assert_allclose(score.metrics["margin"], np.mean(margin(*kept)), rtol=1e-5)
        assert score.accuracy == pytest.approx(plain.accuracy)
        assert score.examples == mask.sum()
        assert sorted(score.named("test")) == ["test_accuracy", "test_cross_entropy", "test_loss", "test_margin"]


def test_cross_entropy_as_the_loss_is_reported_once() -> None:
    logits, labels, mask = drawn()
    assert Measures().names == []
    assert metrics.compute_metrics(batch_sums(Measures(), logits, labels, mask)).metrics == {}
    assert Measures().score(logits, labels) == metrics.score(logits, labels)
    assert Measures().score(logits, labels).cross_entropy == metrics.score(logits, labels).loss


@pytest.mark.slow
def test_metrics_are_of_the_main_output_and_the_loss_is_of_all() -> None:
    (digit, digits, mask), (size, sizes, _) = drawn(), drawn(classes=2, seed=1)
    logits, targets = {"digit": digit, "size": size}, {"digit": digits, "size": sizes}
    measures = Measures(squared_error, {"margin": margin}, main_output="size")
    exact = measures.score(*jax.tree.map(lambda leaf: leaf[mask], (logits, targets)))
    by_sums = metrics.compute_metrics(batch_sums(measures, logits, targets, mask))
    for score in (exact, by_sums):
        np.testing.assert_allclose(score.metrics["margin"], np.mean(margin(size[mask], sizes[mask])), rtol=1e-5)
        losses = [np.mean(squared_error(logits[name][mask], targets[name][mask])) for name in logits]
        np.testing.assert_allclose([score.outputs[name].loss for name in logits], losses, rtol=1e-5)
        np.testing.assert_allclose(score.loss, np.mean(losses), rtol=1e-5)
        entropies = [metrics.score(logits[name][mask], targets[name][mask]).loss for name in logits]
        np.testing.assert_allclose(score.cross_entropy, np.mean(entropies), rtol=1e-5)


@pytest.mark.parametrize("case", REFERENCE["losses"], ids=lambda case: f"{case['loss']}-{case['by']}")
def test_loss_is_that_of_other_frameworks(case: dict) -> None:
    """Of each image, and of mixtures with soft labels; the mean over all images with class weights is Keras's."""
    settings = {name: tuple(value) if isinstance(value, list) else value for name, value in case["settings"].items()}
    loss = partial(LOSSES[case["loss"]], **settings)
    logits, labels, partners = (jnp.asarray(REFERENCE[name]) for name in ("logits", "labels", "partners"))
    found = loss(logits, labels)
    if "is_mixed" in case:
        weight = jnp.asarray(REFERENCE["weight"])
        sums = [
            Measures(loss).batch_sums(logits, labels, jnp.arange(12) == row, jnp.int32(1), (partners, weight)).loss
            for row in range(12)
        ]
        found = jnp.stack(sums)
    if "mean" in case:
        score = Measures(loss).score(np.asarray(logits), np.asarray(labels))
        np.testing.assert_allclose(score.loss, case["mean"], rtol=1e-5)
    else:
        np.testing.assert_allclose(found, case["values"], rtol=1e-4, atol=1e-6)


@pytest.mark.slow
def test_gradient_of_mixtures_is_that_of_soft_labels() -> None:
    logits, labels, partners = (jnp.asarray(REFERENCE[name]) for name in ("logits", "labels", "partners"))
    weight, classes = jnp.asarray(REFERENCE["weight"]), logits.shape[1]
    soft = sum(w[:, None] * jax.nn.one_hot(one, classes) for w, one in ((weight, labels), (1 - weight, partners)))
    measures = Measures(partial(cross_entropy, label_smoothing=0.2))

    def ours(logits: jax.Array) -> jax.Array:
        return measures.batch_sums(logits, labels, jnp.ones(12, bool), jnp.int32(1), (partners, weight)).loss

    def theirs(logits: jax.Array) -> jax.Array:
        return jnp.sum(optax.softmax_cross_entropy(logits, optax.smooth_labels(soft, 0.2)))

    np.testing.assert_allclose(jax.grad(ours)(logits), jax.grad(theirs)(logits), rtol=1e-4, atol=1e-6)


@pytest.mark.slow
def test_focal_loss_without_gamma_is_the_cross_entropy_and_its_gradient_is_finite_for_sure_predictions() -> None:
    logits, labels, _ = drawn()
    np.testing.assert_allclose(focal(logits, labels, gamma=0.0), cross_entropy(logits, labels), rtol=1e-6)
    sure = jnp.asarray([[200.0, 0.0], [0.0, 200.0], [0.0, 0.0]])
    for gamma in (0.0, 0.3, 1.0, 2.0):
        gradient = jax.grad(lambda logits, g=gamma: jnp.sum(focal(logits, jnp.zeros(3, jnp.int32), g)))(sure)
        assert np.isfinite(gradient).all()
        np.testing.assert_allclose(gradient[:2], [[0, 0], [-1, 1]], atol=1e-6)


@pytest.mark.parametrize(
    ("settings", "is_plain"),
    [({}, True), ({"label_smoothing": 0.1}, False), ({"class_weights": (1.0, 2.0)}, False)],
)
def test_plain_cross_entropy_is_reported_beside_one_with_settings(settings: dict, is_plain: bool) -> None:
    learner = build(Experiment().vary(dataset="x_and_o", model="logistic", **settings))
    assert learner.measures.names == ([] if is_plain else ["cross_entropy"])
    logits, labels, _ = drawn(classes=2)
    score = learner.measures.score(logits, labels)
    assert score.cross_entropy == pytest.approx(metrics.score(logits, labels).loss)
    assert (score.loss == score.cross_entropy) == is_plain


@pytest.mark.parametrize("loss", list(LOSSES))
def test_class_weights_of_another_number_are_refused_when_the_experiment_is_built(loss: str) -> None:
    with pytest.raises(InputError, match=r"^--loss.class_weights=1.0,2.0: 2 weights for 10 classes. Give one for each"):
        build(Experiment().vary(model="logistic", loss=loss, class_weights=(1.0, 2.0)))


@pytest.mark.parametrize("loss", [cross_entropy, squared_error, *LOSSES.values()])
def test_loss_of_mixtures_is_of_both_labels_by_their_weights(loss: metrics.PerImage) -> None:
    logits, labels, mask = drawn()
    partners, weight = np.arange(30)[::-1].astype(np.int32), np.linspace(0, 1, 30, dtype=np.float32)
    sums = batch_sums(Measures(loss), logits, labels, mask, mixed=(jnp.asarray(labels[partners]), jnp.asarray(weight)))
    expected = weight * loss(logits, labels) + (1 - weight) * loss(logits, labels[partners])
    np.testing.assert_allclose(sums.loss, np.sum(np.asarray(expected)[mask]), rtol=1e-5)
    unmixed = batch_sums(Measures(loss), logits, labels, mask)
    assert sums.loss != unmixed.loss
    assert (sums.correct, sums.metrics) == (unmixed.correct, unmixed.metrics), "metrics use the own label"


def test_sums_of_steps_keep_the_last_parameters_norm_and_add_the_gradients() -> None:
    sums = [OWN.zeros().replace(gradient_norm=jnp.float32(n), parameter_norm=jnp.float32(10 * n)) for n in (1, 2, 4)]
    total = sums[0] + sums[1] + sums[2]
    assert (total.gradient_norm, total.parameter_norm) == (7, 40)


def test_mean_over_seeds_has_their_metrics() -> None:
    scores = [Score(1.0, 0.5, 10, metrics={"margin": 2.0}), Score(3.0, 0.7, 10, metrics={"margin": 4.0})]
    assert metrics.mean_score(scores) == Score(2.0, pytest.approx(0.6), 20, metrics={"margin": 3.0})
