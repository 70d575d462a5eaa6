"""docs/lecture.ipynb is what a student wants: it runs in an empty folder, in any order, and its numbers are true."""

import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbformat import NotebookNode

from tests.conftest import PROJECT

FILE = PROJECT / "docs/lecture.ipynb"
NOTEBOOK = nbformat.read(FILE, nbformat.NO_CONVERT)
CODE = [cell for cell in NOTEBOOK.cells if cell.cell_type == "code"]
# In place of the settings, which are the cell with the tag `parameters`: few images, of the drawn dataset.
FEW_IMAGES = 'DATASET, TRAIN_EXAMPLES, EPOCHS = "mnist", 640, 2'

PREPARED = """
from flax import linen as nn

from cnn_jax import Config, Experiment, train

class Net(nn.Module):
    classes: int
    @nn.compact
    def __call__(self, images):
        return 1 / 0

own = Config(dataset="x_and_o", model="net")
"""
# Mistakes of a student, and how the one line begins that each ends in.
MISTAKES = {
    "Experiment().vary(pool=False)": r"InputError: --pool: no such flag.* Did you mean --model\.pooling\?",
    'Experiment().vary(dataset="mnits")': "InputError: --dataset=mnits: no such dataset. Did you mean mnist",
    "Config(learning_rate=-1)": "InputError: --learning_rate=-1",
    "train(Config())": "InputError: train: Config is no Experiment",
    'train(Experiment(own, models={"net": Net}))': r"UserCodeError: Cell In\[1\], line 9: .*ZeroDivisionError",
}

Execute = Callable[..., NotebookNode]


def kinds_shown(outputs: list[NotebookNode]) -> list[list[str]]:
    """The kinds of a cell's outputs, in order, without stderr.

    A kernel starts a new stream where a line of stderr came between two lines of stdout, so streams that follow one
    another count as one.
    """
    kinds = [sorted(one.get("data", [one.output_type])) for one in outputs if one.get("name") != "stderr"]
    return [kind for before, kind in zip([[], *kinds], kinds, strict=False) if not kind == before == ["stream"]]


def source(tag: str) -> str:
    """The source of the cell with this tag."""
    [cell] = [cell for cell in CODE if tag in cell.metadata.get("tags", [])]
    return str(cell.source)


def notebook(*sources: str) -> NotebookNode:
    return nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(text) for text in sources])


@pytest.fixture
def execute(command_environment: dict[str, str], tmp_path: Path) -> Execute:
    """Runs a notebook in a fresh kernel and an empty folder."""

    def executed(cells: NotebookNode, **options: object) -> NotebookNode:
        folder = tmp_path / "empty"
        folder.mkdir()
        path = os.pathsep.join(filter(None, (str(PROJECT), os.environ.get("PYTHONPATH"))))
        environment = command_environment | {"PYTHONPATH": path, "PYTHONWARNINGS": "default"}
        client = NotebookClient(cells, timeout=600, resources={"metadata": {"path": str(folder)}}, **options)
        return client.execute(env=environment)

    return executed


def test_notebook_is_valid_and_small() -> None:
    nbformat.validate(NOTEBOOK)
    assert FILE.stat().st_size < 1_000_000
    assert not any(output.output_type == "error" for cell in CODE for output in cell.outputs)


def test_notebook_trains_what_the_lecture_trains() -> None:
    settings = re.findall(r"^(\w+) = (\S+)", source("parameters"), re.MULTILINE)
    assert settings == [("DATASET", '"mnist"'), ("TRAIN_EXAMPLES", "None"), ("EPOCHS", "5")]


def test_accuracies_of_the_verdict_are_the_stored_ones() -> None:
    models = json.loads((PROJECT / "experiments/results/compare.json").read_text())["models"]
    stored = {model["name"]: model["test_accuracy"]["values"] for model in models}
    [verdict] = [cell.source for cell in CODE if "ttest_rel" in cell.source]
    said = [json.loads(numbers) for numbers in re.findall(r"_pooling = np\.array\((\[.*?\])\)", verdict)]
    assert said == [stored["lecture_cnn"], stored["lecture_cnn_no_pooling"]]


@pytest.mark.slow
def test_notebook_runs_in_an_empty_folder_and_its_cells_again_in_any_order(execute: Execute) -> None:
    """All cells from the top, and then each once more, from the bottom."""
    sources = [FEW_IMAGES if cell.source == source("parameters") else cell.source for cell in CODE]
    outputs = [cell.outputs for cell in execute(notebook(*sources, *reversed(sources))).cells]
    kinds = [kinds_shown(shown) for shown in outputs]
    assert kinds[: len(CODE)] == kinds[: len(CODE) - 1 : -1], "each cell shows the same kinds of things again"
    assert len(json.dumps(outputs[: len(CODE)])) < 1_000_000
    everything = "\n".join(
        str(value) for shown in outputs for one in shown for value in (one.get("data") or one).values()
    )
    for text in ("<progress", "104,202", "712,202", "<svg", "measured: 18 x 18 pixels", "p = 0.0019"):
        assert text in everything, text


@pytest.mark.slow
def test_a_mistake_in_a_cell_ends_in_one_line(execute: Execute) -> None:
    done = execute(notebook(PREPARED.strip(), *MISTAKES), allow_errors=True)
    for cell, expected in zip(done.cells[1:], MISTAKES.values(), strict=True):
        [error] = [output for output in cell.outputs if output.output_type == "error"]
        assert len(error.traceback) == 1 and "\n" not in error.traceback[0]
        assert re.match(expected, error.traceback[0]), error.traceback[0]
