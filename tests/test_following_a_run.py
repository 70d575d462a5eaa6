"""The examples of docs/following_a_run.md run as they are, and what they log is what the run has trained."""

import csv
import math
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from cnn_jax import TrainedRun
from tests.conftest import PROJECT

DOCUMENT = (PROJECT / "docs/following_a_run.md").read_text()
EXAMPLES = dict(re.findall(r"^## ([^\n]+)\n\n```python\n(.*?)```", DOCUMENT, re.MULTILINE | re.DOTALL))


@pytest.fixture(autouse=True)
def folder(drawn_data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TFDS_DATA_DIR", str(drawn_data_dir))
    monkeypatch.chdir(tmp_path)


def run_of(example: str) -> TrainedRun:
    """Runs an example, and gives its run."""
    names: dict[str, Any] = {"__name__": "__main__"}
    exec(EXAMPLES[example], names)
    return names["run"]


def test_every_example_is_tried_and_has_about_ten_lines() -> None:
    assert list(EXAMPLES) == ["A CSV file", "Weights & Biases", "MLflow"]
    assert max(len([line for line in code.splitlines() if line]) for code in EXAMPLES.values()) <= 10


@pytest.mark.slow
def test_csv_has_a_row_for_each_epoch(tmp_path: Path) -> None:
    run = run_of("A CSV file")
    with (tmp_path / "run.csv").open() as file:
        rows = [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]
    assert len(rows) == 3
    assert rows == [{name: row[name] for name in rows[0]} for row in run.history]


class WandbRun:
    """The methods of `wandb.Run` that the example calls, with their parameters."""

    def __init__(self) -> None:
        self.logged: list[tuple[int | None, dict[str, Any]]] = []
        self.summary: dict[str, Any] = {}
        self.is_finished = False

    def __enter__(self) -> "WandbRun":
        return self

    def __exit__(self, *error: object) -> None:
        self.finish()

    def log(self, data: dict[str, Any], step: int | None = None, commit: bool | None = None) -> None:
        assert not self.is_finished
        self.logged.append((step, dict(data)))

    def finish(self, exit_code: int | None = None) -> None:
        self.is_finished = True


def test_weights_and_biases_gets_the_config_every_row_and_the_test_scores(monkeypatch: pytest.MonkeyPatch) -> None:
    tracked, started = WandbRun(), list[tuple]()
    wandb: Any = ModuleType("wandb")

    def init(entity: str | None = None, project: str | None = None, config: dict | None = None) -> WandbRun:
        started.append((project, config))
        return tracked

    wandb.init = init
    monkeypatch.setitem(sys.modules, "wandb", wandb)
    run = run_of("Weights & Biases")
    assert started == [("cnn_jax", run.experiment.config.as_mapping())]
    assert tracked.logged == [(row["step"], row) for row in run.history]
    assert tracked.summary == {"test_loss": run.test_loss, "test_accuracy": run.test_accuracy}
    assert tracked.is_finished


class ActiveRun:
    """What `mlflow.start_run` returns."""

    is_active = False

    def __enter__(self) -> "ActiveRun":
        self.is_active = True
        return self

    def __exit__(self, *error: object) -> None:
        self.is_active = False


def test_mlflow_gets_the_config_every_row_and_the_test_scores(monkeypatch: pytest.MonkeyPatch) -> None:
    active, logged, params = ActiveRun(), list[tuple[int | None, dict[str, float]]](), dict[str, Any]()
    mlflow: Any = ModuleType("mlflow")

    def start_run(
        run_id: str | None = None, experiment_id: str | None = None, run_name: str | None = None
    ) -> ActiveRun:
        return active

    def log_params(given: dict[str, Any], synchronous: bool | None = None, run_id: str | None = None) -> None:
        assert active.is_active
        assert all(len(str(value)) <= 6000 for value in given.values())  # as MLflow 3 allows
        params.update(given)

    def log_metrics(metrics: dict[str, float], step: int | None = None, synchronous: bool | None = None) -> None:
        assert active.is_active
        assert all(re.fullmatch(r"[\w.\- /]+", name) and math.isfinite(value) for name, value in metrics.items())
        logged.append((step, dict(metrics)))

    mlflow.start_run, mlflow.log_params, mlflow.log_metrics = start_run, log_params, log_metrics
    monkeypatch.setitem(sys.modules, "mlflow", mlflow)
    run = run_of("MLflow")
    assert params == run.experiment.config.as_mapping()
    scores = {"test_loss": run.test_loss, "test_accuracy": run.test_accuracy}
    assert logged == [*((row["step"], row) for row in run.history), (None, scores)]
    assert not active.is_active


def test_named_rows_are_those_of_a_run() -> None:
    row = run_of("A CSV file").history[-1]
    [table] = re.findall(r"\| name \| .*?\n\n", DOCUMENT, re.DOTALL)
    said = set(re.findall(r"`([a-z_]+)`", table))
    assert row.keys() == said
