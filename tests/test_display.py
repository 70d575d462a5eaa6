"""What a notebook or a console shows of the objects that users meet: a line, or a small table. Errors are one line."""

import re
import sys
from types import SimpleNamespace
from typing import Any

import jax
import numpy as np
import pytest

from cnn_jax import Config, Dataset, Experiment, InputError, Mixed, Part, TrainedRun, display
from cnn_jax.display import html_table, text_table
from cnn_jax.errors import DivergedError
from cnn_jax.experiment import build
from cnn_jax.runs.history import History
from cnn_jax.runs.options import RunOptions
from cnn_jax.runs.result import Result
from cnn_jax.training.compiled import CompiledFunctions, Inference, Training
from cnn_jax.training.loop import Clock, Progress
from cnn_jax.training.mesh import make_mesh
from cnn_jax.training.metrics import Score

RESULT: dict[str, Any] = {
    **{"status": "done", "experiment": "mine", "dataset": "digits", "model": "dense", "parameters": 7_850, "seed": 0},
    **{"epochs": 2, "steps": 20, "train_loss": 0.5, "train_accuracy": 0.9, "test_loss": 0.4, "test_accuracy": 0.8},
    **{"test_examples": 60, "test_metrics": {"cross_entropy": 0.4}, "compile_seconds": 1.0, "device": "1 x cpu"},
}
LONGEST_LINE, LARGEST_HTML = 400, 20_000  # characters


def digits(side: int = 28, channels: int = 1) -> Dataset:
    images = np.random.default_rng(0).integers(0, 256, (60, side, side, channels), dtype=np.uint8)
    return Dataset.from_arrays(images, np.arange(60) % 10, images, np.arange(60) % 10, name="digits")


def shown_objects() -> dict[str, Any]:
    """The objects that README and notebook give to their readers, by their types' names."""
    dataset = digits()
    experiment = Experiment(datasets={"digits": digits}).vary(dataset="digits", model="dense", epochs=2)
    learner, mesh = build(experiment), make_mesh()
    state = learner.create_state(0)
    functions = dict.fromkeys(("_create", "_indices", "_chunk"), print)
    training = Training(learner, mesh, dataset.train.images, dataset.train.labels, 1, 1e-3, 2, 1.0, 10**6, **functions)
    inference = Inference(learner.measures, dataset.test.images, dataset.test.labels, 1.0, 10**6, print)
    sums = learner.measures.zeros(dataset.train.labels)
    scores = {"scores": (Score(0.5, 0.9, 60),), "diverged_at": (None,)}
    row = {"epoch": 1, "train_loss": 0.5, "train_accuracy": 0.9, "seconds": 1.0}
    objects = [
        *(dataset, dataset.train, dataset.spec, experiment, experiment.config, learner, training, inference, state),
        CompiledFunctions(training, inference, None),
        Progress(state=state, sums=sums, step=1, epoch_steps=1, images=60, clock=Clock(), **scores),
        TrainedRun(experiment, state.variables, History([row]), 0.5, 0.9, {}),
        Result(**RESULT, train_seconds=9.0, host_seconds=1.0, saving_seconds=0.0, images_per_second=60.0),
        RunOptions(seeds=3),
        Mixed(dataset.train.images, dataset.train.labels, np.ones(60, np.float32)),
    ]
    return {type(shown).__name__: shown for shown in objects}


@pytest.fixture(scope="module")
def objects() -> dict[str, Any]:
    return shown_objects()


@pytest.mark.slow
def test_every_object_is_a_short_line_in_a_console(objects: dict[str, Any]) -> None:
    assert len(objects) == 15
    for name, shown in objects.items():
        text = repr(shown)
        assert text.startswith(f"{name}(") and "\n" not in text, text
        limit = 3 * LONGEST_LINE if name == "CompiledFunctions" else LONGEST_LINE
        assert len(text) < limit, text


def test_objects_are_small_tables_in_a_notebook(objects: dict[str, Any]) -> None:
    without = {"TrainState", "CompiledFunctions", "RunOptions", "Mixed"}  # a line says all
    for name in objects.keys() - without:
        html = objects[name]._repr_html_()
        assert html.startswith("<table>") and name in html
        assert len(html) < LARGEST_HTML, name


def test_dataset_shows_its_first_images_with_their_classes() -> None:
    for dataset in (digits(), digits(side=300, channels=3)):
        html = dataset._repr_html_()
        assert re.findall("<figcaption>(.*?)</figcaption>", html) == [str(label) for label in range(10)]
        assert html.count("data:image/png;base64,") == 10
        assert len(html) < 150_000, "large images are made smaller"


def test_part_of_a_split_shows_itself_too_and_a_single_index_is_explained() -> None:
    test = digits().test
    for part, names in ((test[5:7], ["5", "6"]), (test[np.array([3, 1])], ["3", "1"]), (test[:0], [])):
        assert re.findall("<figcaption>(.*?)</figcaption>", part._repr_html_()) == names
    with pytest.raises(InputError, match=r"^\[0\]: a split has images and labels\. Write \.images\[0\]"):
        test[0]


def test_what_a_user_named_is_escaped() -> None:
    dataset = Dataset.from_arrays(*2 * (np.full((2, 8, 8), 9, np.uint8), [0, 1]), classes=("<b>", "&"), name="<script>")
    assert not re.search("<b>|<script>|& ", dataset._repr_html_())


def test_config_shows_what_is_no_default_as_one_types_it() -> None:
    config = Config(epochs=2, model=Part("cnn", widths=(8, 16)), augment=("shift",))
    assert repr(Config()) == "Config()"
    assert repr(config) == "Config(augment=(Part('shift'),), model=Part('cnn', widths=(8, 16)), epochs=2)"
    assert eval(repr(config)) == config


def test_experiment_shows_what_is_no_default() -> None:
    assert repr(Experiment()) == "Experiment()"
    varied = Experiment().vary(dataset="x_and_o", model="dense", epochs=3).vary(widths=(8,))
    assert repr(varied) == "Experiment(dataset=x_and_o, model=dense, epochs=3, model.widths=8)"
    assert Experiment().vary(varied.changes).config == varied.config


def test_columns_of_numbers_are_aligned_to_the_right() -> None:
    rows = [["a", "1", "x"], ["long name", "1,000", "<y>"]]
    assert (
        text_table(["name", "count", ""], rows) == "name        count\na               1   x\nlong name   1,000   <y>"
    )
    html = html_table(["name", "count", ""], rows)
    assert '<td style="text-align: right">1,000</td>' in html and '<td style="text-align: left">a</td>' in html
    assert "&lt;y&gt;" in html


@pytest.mark.parametrize("error", [InputError("no such file"), DivergedError("not finite", step=3)])
def test_ipython_shows_an_error_as_one_line(error: Exception) -> None:
    """IPython asks an exception for this method, see `tests/test_notebook.py` for IPython itself."""
    assert error._render_traceback_() == [f"{type(error).__name__}: {error}"]  # type: ignore[attr-defined]


def test_there_is_a_notebook_only_where_ipython_has_a_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    for shell, is_notebook in ((None, False), (SimpleNamespace(), False), (SimpleNamespace(kernel=1), True)):
        monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda shell=shell: shell))
        assert display.in_notebook() == is_notebook
        assert display.cell_of("/tmp/1.py") is None
    monkeypatch.delitem(sys.modules, "IPython")
    assert not display.in_notebook()


def test_printing_a_state_works_inside_a_compiled_function() -> None:
    """People print while they trace."""
    learner = build(Experiment().vary(model="logistic"))
    said = []
    jax.eval_shape(lambda: said.append(repr(learner.create_state(0))))
    assert "parameters: 7,850" in said[0]
