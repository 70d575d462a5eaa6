"""Sums with masks, divided once."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cnn_jax.training import metrics

MEASURES = metrics.Measures()

shapes = st.tuples(st.integers(1, 40), st.integers(2, 6), st.integers(0, 2**32 - 1))


def drawn(examples: int, classes: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 3, (examples, classes)).astype(np.float32)
    return logits, rng.integers(0, classes, examples, dtype=np.int32), rng.random(examples) < 0.7


@given(shapes)
def test_score_is_mean_cross_entropy_and_share_of_hits(shape: tuple[int, int, int]) -> None:
    logits, labels, _ = drawn(*shape)
    probabilities = np.exp(logits.astype(float)) / np.exp(logits.astype(float)).sum(1, keepdims=True)
    score = metrics.score(logits, labels)
    np.testing.assert_allclose(score.loss, -np.log(probabilities[np.arange(len(labels)), labels]).mean(), rtol=1e-9)
    assert score.accuracy == np.mean(probabilities.argmax(1) == labels)
    assert score.examples == len(labels)


@settings(max_examples=12)
@given(st.tuples(st.sampled_from([1, 13, 40]), st.just(6), st.integers(0, 2**32 - 1)))  # each shape is compiled
def test_sums_count_only_what_the_mask_keeps(shape: tuple[int, int, int]) -> None:
    logits, labels, mask = drawn(*shape)
    sums = jax.jit(MEASURES.batch_sums)(logits, labels, mask, jnp.int32(3))
    assert sums.count == mask.sum()
    if mask.any():
        score = metrics.score(logits[mask], labels[mask])
        # float32 knows a log-sum-exp of logits near 10 to 1e-6.
        np.testing.assert_allclose(sums.loss / sums.count, score.loss, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(sums.correct / sums.count, score.accuracy, rtol=1e-6)


@pytest.mark.slow
def test_first_step_with_a_bad_loss_is_remembered() -> None:
    good, bad = jnp.zeros((2, 3)), jnp.full((2, 3), jnp.nan)
    labels, mask, sums = jnp.zeros(2, jnp.int32), jnp.ones(2, bool), MEASURES.zeros()
    for step, logits in enumerate([good, good, bad, bad, good], start=1):
        sums = sums + MEASURES.batch_sums(logits, labels, mask, jnp.int32(step))
    assert sums.diverged_at == 3


def test_bad_loss_of_a_masked_row_does_not_count() -> None:
    logits = jnp.array([[0.0, 0.0], [jnp.nan, 0.0]])
    sums = MEASURES.batch_sums(logits, jnp.zeros(2, jnp.int32), jnp.array([True, False]), jnp.int32(1))
    assert sums.diverged_at == metrics.NEVER
    assert jnp.isfinite(sums.loss)


def test_several_outputs_are_scored_each_and_by_their_mean() -> None:
    (digit, digits, mask), (size, sizes, _) = drawn(30, 10, seed=1), drawn(30, 2, seed=2)
    logits, targets = {"digit": digit, "size": size}, {"digit": digits, "size": sizes}
    sums = MEASURES.batch_sums(*jax.tree.map(jnp.asarray, (logits, targets, mask)), jnp.int32(1))
    by_sums = metrics.compute_metrics(jax.device_get(MEASURES.zeros(targets) + sums))
    exact = metrics.score(*jax.tree.map(lambda leaf: leaf[mask], (logits, targets)))
    assert by_sums is not None
    for score in (by_sums, exact):
        for name in ("digit", "size"):
            alone = metrics.score(logits[name][mask], targets[name][mask])
            np.testing.assert_allclose(score.outputs[name][:3], alone[:3], rtol=1e-5)
        np.testing.assert_allclose(score.loss, (score.outputs["digit"].loss + score.outputs["size"].loss) / 2)
    assert list(exact.named("test")) == [
        *("test_loss", "test_loss/digit", "test_loss/size"),
        *("test_accuracy", "test_accuracy/digit", "test_accuracy/size"),
    ]


def test_log_softmax_keeps_what_probabilities_lose() -> None:
    logs = metrics.log_softmax(np.array([[0.0, 2000.0], [0.0, 0.0]], np.float32))
    assert logs.dtype == np.float64
    np.testing.assert_allclose(logs, [[-2000.0, 0.0], [-math.log(2), -math.log(2)]])
