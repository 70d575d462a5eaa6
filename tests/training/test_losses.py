"""Losses and metrics: one number an image, summed with a mask, and the cross-entropy beside every other loss."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn_jax.training import metrics
from cnn_jax.training.losses import LOSSES, METRICS, accuracy, cross_entropy
from cnn_jax.training.metrics import Measures, Score


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


@pytest.mark.parametrize("loss", [cross_entropy, squared_error])
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
