"""The shipped runs are what their files say: networks, origin, and what rounding their parameters costs."""

import json
from pathlib import Path

import jax
import numpy as np
import pytest

from cnn_jax import data
from cnn_jax.errors import InputError
from cnn_jax.experiment import build
from cnn_jax.runs import shipped
from cnn_jax.runs.shipped import FOLDER, NAMES, load_shipped
from cnn_jax.training.metrics import score
from tests.conftest import PROJECT, first_quick

PARAMETERS = {"lecture_cnn": 104_202, "lecture_cnn_no_pooling": 712_202, "dense": 407_050}
LARGEST_FILE = 1_500_000  # bytes


def rounded(name: str) -> dict:
    return json.loads((FOLDER / name / "rounded.json").read_text())


@pytest.mark.parametrize("name", NAMES)
def test_shipped_run_has_the_variables_of_its_network_and_says_where_they_come_from(name: str) -> None:
    run = load_shipped(name)
    config = run.experiment.config
    assert (config.experiment, config.dataset.name, config.seed, len(run.history)) == (name, "mnist", 0, 5)
    wanted = jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), build(run.experiment).abstract_state[0].params)
    assert jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), run.params) == wanted
    assert sum(leaf.size for leaf in jax.tree.leaves(run.params)) == PARAMETERS[name]
    machine = json.loads((FOLDER / name / "machine.json").read_text())
    assert "command_line" not in machine, "it names folders of one machine"
    origin = shipped.origin(name)
    assert f"one run of {name} on mnist, seed 0, 5 epochs" in origin and machine["git_commit"][:7] in origin
    assert not any("/" in line for line in origin.splitlines())


def test_shipped_files_are_small_and_in_the_package() -> None:
    files = [path for path in FOLDER.rglob("*") if path.is_file()]
    assert {path.parent.name for path in files} == set(NAMES)
    assert max(path.stat().st_size for path in files) <= LARGEST_FILE
    assert '"cnn_jax.runs" = ["shipped/*/*"]' in (PROJECT / "pyproject.toml").read_text()


def test_docstring_says_what_rounding_costs() -> None:
    costs = [rounded(name) for name in NAMES]
    assert all(cost["changed_answers"] == 0 for cost in costs)
    largest = max(cost["largest_logit_change"] for cost in costs)
    accuracy = max(
        abs(cost["test_accuracy"] - json.loads((FOLDER / name / "result.json").read_text())["test_accuracy"])
        for name, cost in zip(NAMES, costs, strict=True)
    )
    loss = max(
        abs(cost["test_loss"] - json.loads((FOLDER / name / "result.json").read_text())["test_loss"])
        for name, cost in zip(NAMES, costs, strict=True)
    )
    assert accuracy < 1e-6
    words = " ".join((shipped.__doc__ or "").split())
    assert f"the largest change of a logit is {largest:.3f}, and that of a test loss {loss:.0e}" in words


@pytest.mark.parametrize("name", first_quick(reversed(NAMES)))
def test_shipped_run_scores_what_its_files_say_on_the_real_test_images(name: str, mnist_data_dir: Path) -> None:
    run, cost = load_shipped(name), rounded(name)
    test = data.load("mnist", data_dir=mnist_data_dir).test
    logits = run.logits(test.images)
    change = np.abs(logits[: len(cost["first_logits"])] - np.array(cost["first_logits"])).max()
    assert change <= cost["largest_logit_change"] + 1e-4
    scored = score(logits, test.labels)
    assert scored.accuracy == pytest.approx(cost["test_accuracy"], abs=1.5e-4)  # another machine rounds differently
    assert scored.loss == pytest.approx(cost["test_loss"], abs=1e-5)
    assert (run.test_loss, run.test_accuracy) == (cost["test_loss"], cost["test_accuracy"])


def test_other_name_is_an_error_in_one_line() -> None:
    with pytest.raises(InputError, match=r"no such shipped run\. Did you mean lecture_cnn"):
        load_shipped("lecture_cn")
