"""An evaluation's page escapes what it shows, and reports the record of its runs."""

import re
from typing import Any

import numpy as np

from cnn_jax import data
from cnn_jax.data.dataset import Split
from cnn_jax.report.format import percent
from cnn_jax.runs.result import Result
from cnn_jax.studies.evaluation import corruptions
from cnn_jax.studies.evaluation.numbers import corruption_record, evaluation_record, run_record
from cnn_jax.studies.evaluation.page import ensemble_table, render_page, seed_table, sentences
from cnn_jax.training.metrics import Measures
from tests import fabricated

NASTY = '<script>alert("x")</script>'
LABELS = np.arange(1000) % 10
IMAGES = np.random.default_rng(2).integers(0, 256, (1000, 8, 8, 1), dtype=np.uint8)


def result(seed: int) -> Result:
    numbers = dict.fromkeys(("compile_seconds", "train_seconds", "host_seconds", "saving_seconds"), 1.0)
    return Result(
        status="done",
        experiment="net",
        dataset="mnist",
        model="cnn",
        parameters=7850,
        seed=seed,
        epochs=1,
        steps=10,
        train_loss=0.1,
        train_accuracy=0.9,
        test_loss=0.125,
        test_accuracy=0.875,
        test_metrics={"cross_entropy": 0.125},
        images_per_second=100.0,
        device="abacus",
        **numbers,
    )


def logits(seeds: int) -> np.ndarray:
    """Predictions of which about 90 % are right: float32 [seeds, 1000, 10]."""
    noise = np.random.default_rng(1).normal(size=(seeds, 1000, 10))
    return (2.9 * np.eye(10)[LABELS] + noise).astype(np.float32)


def record(name: str = "net", seeds: int = 2, *, same_scores: bool = False) -> dict[str, Any]:
    results = {seed: result(seed) for seed in range(seeds)}
    path, scored = f"runs/{name}", (logits(seeds), LABELS)
    run = run_record(name, path, Measures(), results, *scored, data.spec("mnist"), same_scores=same_scores)
    return evaluation_record(
        "mnist", "test images", len(LABELS), fabricated.MACHINE | {"command_line": ["--mode=evaluate"]}, [run]
    )


def corrupted(name: str = "net") -> dict[str, Any]:
    """With the accuracies of a model that sees the mean brightness of images, and loses it by occlusion."""
    test = Split(np.repeat((25 * np.arange(10, dtype=np.uint8))[:, None], 784, 1).reshape(10, 28, 28, 1), np.arange(10))

    def infer(images: np.ndarray) -> np.ndarray:
        brightness = images.mean((1, 2, 3))[:, None]
        return np.stack([-((brightness - 25 * np.arange(10)) ** 2)] * 2)

    accuracies = corruptions.accuracies({name: infer}, test, ["occlusion"], lambda _: None)
    return record(name) | {"corruptions": corruption_record(accuracies, {name: [0, 1]})}


def test_page_escapes_names_and_needs_no_other_file() -> None:
    samples = {"occlusion": np.zeros((6, 2, 8, 8, 3), np.uint8)}
    html = render_page(corrupted(NASTY), IMAGES, samples)
    assert "<script" not in html
    assert "&lt;script&gt;" in html
    assert not re.search(r"<(link|iframe|object)\b|@import|src=\"(?!data:image/)", html)


def test_each_figure_says_in_words_what_it_shows() -> None:
    found = corrupted()
    html = render_page(found, IMAGES, {"occlusion": np.zeros((6, 2, 8, 8, 1), np.uint8)})
    labels = re.findall(r'<svg role="img" aria-label="([^"]*)"', html)
    assert len(labels) == 3
    error = found["runs"][0]["mean"]["calibration_error"]["mean"]
    assert f"net: {percent(error)} calibration error" in labels[0]
    assert "occlusion" in labels[1]
    worst = found["corruptions"]["runs"][0]["mean"]["occlusion"][5]["mean"]
    assert worst < 0.5
    assert f"net falls from 100 % to {percent(worst, 0)} by occlusion" in labels[2]


def test_single_seed_has_neither_interval_nor_ensembles() -> None:
    found = record(seeds=1, same_scores=True)
    html = render_page(found, IMAGES, {})
    assert not re.search(r"\d ± ", html)
    assert "nsemble" not in html
    error = found["runs"][0]["seeds"][0]["calibration_error"]
    assert list(sentences(found, found["runs"][0])) == [
        "the run itself recorded loss 0.1250  accuracy 87.50 %",
        f"expected calibration error {percent(error)}, with 15 bins; the loss is the mean negative log-likelihood",
    ]


def test_intervals_of_two_seeds_are_explained_once() -> None:
    samples = {"occlusion": np.zeros((6, 2, 8, 8, 1), np.uint8)}
    assert render_page(corrupted(), IMAGES, samples).count("An interval of two values says little") == 1
    assert "two values" not in render_page(record(seeds=3), IMAGES, {})


def test_ensemble_of_all_has_no_range() -> None:
    found = record()
    [run] = found["runs"]
    singles, both = ensemble_table(found, run).rows
    accuracies = sorted(row["accuracy"] for row in run["seeds"])
    assert singles[:4] == ["1", "2", percent(sum(accuracies) / 2), " to ".join(map(percent, accuracies))]
    assert both[:4] == ["2", "1", percent(run["ensembles"][1]["quality"]["accuracy"]), "-"]


def test_every_seed_is_a_row_above_their_mean() -> None:
    found = record(seeds=3)
    [run] = found["runs"]
    *rows, mean = seed_table(found, run).rows
    assert [row[:2] for row in rows] == [[str(row["seed"]), percent(row["accuracy"])] for row in run["seeds"]]
    low, high = run["mean"]["accuracy"]["interval"]
    average = np.mean([row["accuracy"] for row in run["seeds"]])
    assert mean[:2] == ["mean", f"{100 * average:.2f} ± {50 * (high - low):.2f} %"]
