"""An evaluation shows the scores of each class, its confusions, and the images behind every number."""

import re
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cnn_jax import data
from cnn_jax.data.dataset import Spec
from cnn_jax.report.classification import classification_report, confusion_matrix
from cnn_jax.report.console import Console
from cnn_jax.studies.evaluation import classes_page
from cnn_jax.studies.evaluation.classes import classes_record, misclassified
from cnn_jax.studies.evaluation.numbers import run_record
from cnn_jax.studies.evaluation.page import render_page
from cnn_jax.studies.evaluation.run import _print_classes
from cnn_jax.training.metrics import Measures, log_softmax
from tests.browser import Browser, require_sound
from tests.studies.evaluation import test_page as made

DIGITS = [str(digit) for digit in range(10)]


def found(logits: np.ndarray, labels: np.ndarray, names: list[str]) -> dict[str, Any]:
    return {"output": None, "scored": "net on set", **classes_record(logits, labels, names)}


def answers(*of_seeds: list[int]) -> np.ndarray:
    """Logits whose predictions are these, of three classes: float [seeds, N, 3]."""
    return np.eye(3)[np.array(of_seeds)]


def test_scores_are_means_over_seeds_and_counts_are_sums() -> None:
    logits, labels = made.logits(3), made.LABELS
    record = found(logits, labels, DIGITS)
    matrices = [confusion_matrix(labels, of_seed.argmax(axis=-1), 10) for of_seed in logits]
    reports = [classification_report(matrix) for matrix in matrices]
    assert record["confusion"] == sum(matrices).tolist()
    for index, of_class in enumerate(record["classes"]):
        assert of_class["support"] == 100
        assert of_class["precision"]["mean"] == pytest.approx(np.mean([r.precision[index] for r in reports]))
        assert of_class["f1"]["mean"] == pytest.approx(np.mean([r.f1[index] for r in reports]))
    assert record["macro_average"]["f1"]["mean"] == pytest.approx(np.mean([r.macro[2] for r in reports]))
    assert record["accuracy"]["mean"] == pytest.approx((logits.argmax(axis=-1) == labels).mean())
    first = classes_page.report_table(record, DIGITS).rows[0]
    assert re.fullmatch(r"\d\d\.\d\d ± \d+\.\d\d", first[1]) and first[4] == "100"


def test_few_classes_have_no_top_5_accuracy() -> None:
    assert "top_5_accuracy" in found(made.logits(1), made.LABELS, DIGITS)
    assert "top_5_accuracy" not in found(answers([0, 1]), np.array([0, 1]), ["a", "b", "c"])


def test_class_without_images_and_class_that_seeds_never_predict_are_remarked() -> None:
    record = found(answers([0, 1, 1], [0, 0, 0]), np.array([0, 1, 1]), ["a", "b", "c"])
    assert list(classes_page.remarks(record)) == [
        "classes without an image: c (their recall counts as 0, also in the averages)",
        "classes that are never predicted: b (in 1 of 2 seeds), c (their precision counts as 0, also in the averages)",
    ]
    right = found(answers([0, 1, 2]), np.array([0, 1, 2]), ["a", "b", "c"])
    assert list(classes_page.remarks(right)) == ["no image is misclassified"]
    assert misclassified(answers([0, 1, 2]), np.array([0, 1, 2]), most=10) == {"images": 0, "pairs": []}


def test_every_misclassified_image_is_under_its_pair_with_the_most_probable_error_first() -> None:
    [logits], labels = made.logits(1), made.LABELS
    record = misclassified(log_softmax(logits[None]), labels, most=1000)
    predictions = logits.argmax(axis=-1)
    named = {item["index"]: (pair["class"], pair["predicted"]) for pair in record["pairs"] for item in pair["shown"]}
    wrong = np.flatnonzero(predictions != labels)
    assert named == {int(i): (labels[i], predictions[i]) for i in wrong}
    assert record["images"] == len(wrong)
    numbers = [pair["predictions"] for pair in record["pairs"]]
    assert numbers == sorted(numbers, reverse=True)
    for pair in record["pairs"]:
        probabilities = [item["probability"] for item in pair["shown"]]
        assert probabilities == sorted(probabilities, reverse=True)


def test_image_says_how_many_seeds_confuse_it() -> None:
    record = misclassified(answers([1, 1, 0], [1, 2, 0]), np.array([0, 0, 0]), most=10)
    assert [(p["class"], p["predicted"], p["predictions"], p["images"]) for p in record["pairs"]] == [
        (0, 1, 3, 2),
        (0, 2, 1, 1),
    ]
    assert [(item["index"], item["seeds"]) for item in record["pairs"][0]["shown"]] == [(0, 2), (1, 1)]


@pytest.mark.parametrize("most", [5, 60, 90])
def test_images_of_a_page_are_shared_out_among_the_pairs(most: int) -> None:
    logs = log_softmax(made.logits(1))
    every, some = (misclassified(logs, made.LABELS, most=number) for number in (1000, most))
    numbers = [len(pair["shown"]) for pair in some["pairs"]]
    assert sum(numbers) == most < every["images"] == some["images"]
    for pair, of_all in zip(some["pairs"], every["pairs"], strict=False):  # the least frequent pairs may have none
        assert pair == of_all | {"shown": of_all["shown"][: len(pair["shown"])]}
        assert len(pair["shown"]) == pair["images"] or len(pair["shown"]) >= max(numbers) - 1


@pytest.mark.parametrize("seeds", [1, 10])
@pytest.mark.parametrize("names", [DIGITS, [f"the class with the number {n} of these" for n in range(62)]])
def test_console_stays_within_80_columns(names: list[str], seeds: int, capsys: pytest.CaptureFixture[str]) -> None:
    labels = np.arange(10_000) % len(names)
    noise = np.random.default_rng(3).normal(size=(seeds, len(labels), len(names)))
    _print_classes(Console(), found(2 * np.eye(len(names))[labels] + noise, labels, names))
    printed = capsys.readouterr().out
    assert max(map(len, printed.splitlines())) <= 80
    assert ("confusion matrix" in printed) == (len(names) == 10)
    assert ("most frequent confusions" in printed) == (len(names) == 62)


def test_rare_confusions_of_many_seeds_are_not_rounded_to_0() -> None:
    seeds = np.zeros((30, 100), int)
    seeds[0, 0] = 1
    assert classes_page.matrix_table(found(np.eye(3)[seeds], np.zeros(100, int), list("abc")), list("abc")).rows == [
        ["a", "100", "0.033", ""],
        ["b", "", "", ""],
        ["c", "", "", ""],
    ]


def page(classes: int = 10, *, seeds: int = 1) -> tuple[dict[str, Any], str]:
    """The record of a run on colour images, and its page."""
    labels = np.arange(400) % classes
    noise = np.random.default_rng(4).normal(size=(seeds, 400, classes))
    logits = (2.5 * np.eye(classes)[labels] + noise).astype(np.float32)
    spec = Spec("set", "", (100, 80, 3), tuple(f"class {n}" for n in range(classes)), 1, 400)
    results = {seed: made.result(seed) for seed in range(seeds)}
    run = run_record("net", "runs/net", Measures(), results, logits, labels, spec, same_scores=False)
    images = np.random.default_rng(5).integers(0, 256, (400, 100, 80, 3), dtype=np.uint8)
    return run, render_page(made.record() | {"runs": [run]}, images, {})


@pytest.mark.parametrize("classes", [10, classes_page.MOST_MATRIX_CLASSES + 1])
def test_every_confusion_opens_its_images(classes: int) -> None:
    run, html = page(classes)
    pairs = run["misclassified"]["pairs"]
    galleries = dict(re.findall(r'<section class="gallery" id="([^"]*)">(.*?)</section>', html, re.DOTALL))
    links = set(re.findall(r'href="#(images-[^"]*)"', html))
    assert links == set(galleries) == {f"images-1-{pair['class']}-{pair['predicted']}" for pair in pairs}
    for pair in pairs:
        gallery = galleries[f"images-1-{pair['class']}-{pair['predicted']}"]
        assert f"class {pair['class']} predicted as class {pair['predicted']}" in gallery
        assert re.findall(r'alt="image (\d+):', gallery) == [str(item["index"]) for item in pair["shown"]]
    assert ("confusion matrix, a row for each class" in html) == (classes == 10)


def test_link_opens_the_images_in_a_browser_and_the_page_is_sound(browser: Browser, tmp_path: Path) -> None:
    run, html = page(seeds=2)
    pair = run["misclassified"]["pairs"][0]
    closed, opened = tmp_path / "closed.html", tmp_path / "opened.html"
    closed.write_text(html)
    link = f"images-1-{pair['class']}-{pair['predicted']}"
    opened.write_text(f"{html}<script>document.querySelector('a[href=\"#{link}\"]').click()</script>")
    require_sound(browser, opened)
    heights = [Image.open(BytesIO(browser.visit(path).screenshot)).height for path in (closed, opened)]
    assert heights[1] > heights[0] + 100


def test_each_output_has_its_own_scores_and_the_main_one_the_names_and_images() -> None:
    measures, targets = Measures(main_output="digit"), {"digit": made.LABELS, "odd": made.LABELS % 2}
    logits = [{"digit": of_seed, "odd": np.eye(2)[made.LABELS % 2]} for of_seed in made.logits(1)]
    results = {0: made.result(0)}
    spec = data.spec("fashion_mnist")
    run = run_record("net", "runs/net", measures, results, logits, targets, spec, same_scores=False)
    digit, odd = run["classification"]
    assert [of_class["name"] for of_class in digit["classes"]] == list(spec.classes)
    assert (digit["scored"], odd["scored"]) == ("net on fashion_mnist, digit", "net on fashion_mnist, odd")
    assert [of_class["name"] for of_class in odd["classes"]] == ["0", "1"]
    assert odd["confusion"] == [[500, 0], [0, 500]]
    html = render_page(made.record() | {"runs": [run]}, made.IMAGES, {})
    assert html.count('class="gallery"') == len(run["misclassified"]["pairs"]) > 0
    assert html.count("No image is misclassified.") == 1
