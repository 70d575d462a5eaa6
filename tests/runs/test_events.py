"""TensorBoard's events of a finished run hold its rows, its test scores and the confusion matrix, each once."""

import json
from pathlib import Path

import jax
import numpy as np
import pytest
from flax import linen as nn

from cnn_jax import Config, Dataset, Experiment, Part, Task
from cnn_jax.report import confusion
from cnn_jax.report.classification import confusion_matrix
from cnn_jax.report.console import Console
from cnn_jax.runs.execute import execute
from cnn_jax.runs.options import RunOptions
from tests import event_files

NAMES = ("dark", "bright")


def shades() -> Dataset:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 96)
    images = np.uint8(rng.integers(0, 120, (96, 6, 6)) + 60 * labels[:, None, None])
    return Dataset.from_arrays(images[:64], labels[:64], images[64:], labels[64:], classes=NAMES)


class TwoHeads(nn.Module):
    classes: int

    @nn.compact
    def __call__(self, images: jax.Array) -> dict[str, jax.Array]:
        flat = images.reshape(images.shape[0], -1)
        return {"shade": nn.Dense(self.classes)(flat), "other": nn.Dense(3)(flat)}


def two_questions() -> Task:
    return Task(lambda images: images, lambda labels: {"shade": labels, "other": 2 - labels}, main_output="shade")


def trained(workdir: Path, **parts: object) -> dict:
    config = Config(dataset=Part("shades"), epochs=2, batch_size=16, **({"model": Part("logistic")} | parts))
    tables = {"models": {"two_heads": TwoHeads}, "tasks": {"two_questions": two_questions}}
    metrics = {"largest": lambda logits, _: logits.max(axis=-1)}
    experiment = Experiment(config, datasets={"shades": shades}, metrics=metrics, **tables)
    execute(experiment, RunOptions(workdir=workdir), Console(progress=False, rows=False))
    return json.loads((workdir / "result.json").read_text())


def test_events_hold_every_row_and_the_test_scores_and_confusions_at_the_last_step(tmp_path: Path) -> None:
    result = trained(tmp_path)
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    names = rows[0].keys() - {"seed", "epoch", "step", *event_files.TIMES}
    expected = {(name, row["step"]): row[name] for row in rows for name in names}
    expected |= {(name, 8): result[name] for name in ("test_loss", "test_accuracy")}
    expected |= {("test_largest", 8): result["test_metrics"]["largest"]}
    assert event_files.curves(tmp_path) == pytest.approx(expected, rel=1e-6)
    stored = np.load(tmp_path / "predictions.npz")
    matrix = confusion_matrix(stored["labels"], stored["logits"].argmax(axis=-1), 2)
    [(place, pixels)] = event_files.images(tmp_path).items()
    assert place == ("test_confusion_matrix", 8)
    np.testing.assert_array_equal(pixels, confusion.picture(matrix, NAMES))


@pytest.mark.slow
def test_each_output_has_its_scores_and_its_matrix(tmp_path: Path) -> None:
    result = trained(tmp_path, model=Part("two_heads"), task=Part("two_questions"))
    curves, images = event_files.curves(tmp_path), event_files.images(tmp_path)
    for output, names in (("shade", NAMES), ("other", ("0", "1", "2"))):
        for measure in ("loss", "accuracy"):
            found = curves[f"test_{measure}/{output}", 8]
            assert found == pytest.approx(result["outputs"][output][f"test_{measure}"], rel=1e-6)
        stored = np.load(tmp_path / "predictions.npz")
        predictions = stored[f"logits/{output}"].argmax(axis=-1)
        expected = confusion.picture(confusion_matrix(stored[f"labels/{output}"], predictions, len(names)), names)
        np.testing.assert_array_equal(images[f"test_confusion_matrix/{output}", 8], expected)


def test_matrix_of_too_many_classes_is_left_out_and_that_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(confusion, "MOST_CLASSES", 1)
    trained(tmp_path)
    assert event_files.images(tmp_path) == {}
    assert ("test_accuracy", 8) in event_files.curves(tmp_path)
    assert "TensorBoard gets no confusion matrix of 2 classes: it draws 1 at most." in capsys.readouterr().err
