"""A user's own file as an experiment: every mode takes it, and each of its faults is one line with its place."""

import csv
import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np
import pytest
from jax import export
from PIL import Image

import run
from cnn_jax.experiment import load_experiment
from cnn_jax.report.console import Console
from cnn_jax.runs.execute import execute
from cnn_jax.runs.options import RunOptions
from cnn_jax.user_code import load_module
from tests.browser import Browser, require_sound

pytestmark = pytest.mark.usefixtures("compiled_quickly")

Run = Callable[..., subprocess.CompletedProcess[str]]

MINE = '''"""My experiment."""

from typing import Annotated

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn

from cnn_jax import About, Config, Experiment, Part


class Net(nn.Module):
    """A small network of mine."""

    classes: int
    width: Annotated[int, About("filters of the convolution", at_least=1)] = 4
    names: tuple[str, ...] = ()

    @nn.compact
    def __call__(self, images, *, train=False):
        x = nn.Conv(self.width, (3, 3), strides=2)(images)
        x = nn.relu(nn.BatchNorm(use_running_average=not train)(x))
        return nn.Dense(self.classes)(x.reshape(len(x), -1))


def decayed(learning_rate, weight_decay: float = 0.01):
    """AdamW of mine."""
    return optax.adamw(learning_rate, weight_decay=weight_decay)


def smoothed(logits, labels, amount: float = 0.1):
    """Cross-entropy with smooth labels."""
    targets = optax.smooth_labels(jax.nn.one_hot(labels, logits.shape[-1]), amount)
    return optax.softmax_cross_entropy(logits, targets)


def confidence(logits, labels):
    """The largest probability."""
    return jax.nn.softmax(logits).max(axis=-1)


def surprise(logits, labels, amount: float = 2.0):
    """A power of the label's missing probability."""
    right = jnp.take_along_axis(jax.nn.softmax(logits), labels[:, None], axis=-1)[:, 0]
    return (1 - right) ** amount


def brighter(key, images, most: float = 0.1):
    """Images that are brighter by chance."""
    return images + jax.random.uniform(key, (len(images), 1, 1, 1), maxval=most)


def experiment():
    return Experiment(
        Config(
            dataset="x_and_o",
            train_examples=640,
            epochs=1,
            augment=("brighter",),
            model=Part("net", width=4),
            loss="smoothed",
            optimizer="decayed",
            learning_rate=1e-2,
        ),
        augmentations={"brighter": brighter},
        models={"net": Net},
        losses={"smoothed": smoothed},
        metrics={"confidence": confidence, "surprise": surprise},
        optimizers={"decayed": decayed},
    )
'''
OWN = "--experiment=mine.py"


@pytest.fixture(autouse=True)
def mine(tmp_path: Path) -> Path:
    """The user's file, in the folder that commands run in."""
    file = tmp_path / "mine.py"
    file.write_text(MINE)
    return file


@pytest.fixture(scope="module")
def finished_run(drawn_data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of the file on images of 28 x 28 pixels; tests leave it as it is."""
    folder = tmp_path_factory.mktemp("own")
    (folder / "mine.py").write_text(MINE)
    experiment = load_experiment(folder / "mine.py").vary(dataset="mnist", width=2)
    execute(experiment, RunOptions(workdir=folder / "run", data_dir=drawn_data_dir), Console(progress=False))
    return folder / "run"


def files(folder: Path) -> list[Path]:
    """All files, but for what matplotlib keeps in a new home."""
    return sorted(path for path in folder.rglob("*") if ".cache" not in path.parts and ".config" not in path.parts)


def result(folder: Path) -> dict:
    return json.loads((folder / "result.json").read_text())


@pytest.mark.slow
def test_starter_file_passes_the_check_and_trains(run_py: Run, tmp_path: Path) -> None:
    made = run_py("--mode=new", "--output=folder/start.py")
    assert (made.returncode, made.stderr) == (0, "")
    assert "python run.py --mode=check --experiment=folder/start.py" in made.stdout
    before = files(tmp_path)
    checked = run_py("--mode=check", "--experiment=folder/start.py")
    assert (checked.returncode, checked.stderr) == (0, "")
    assert checked.stdout.endswith("all parts fit each other\n")
    assert re.search(r"one step on 64 images of mnist: loss [\d.]+, accuracy [\d.]+, confidence [\d.]+", checked.stdout)
    assert files(tmp_path) == before
    few = ("--dataset=x_and_o", "--train_examples=640", "--epochs=1", "--workdir=run")
    trained = run_py("--experiment=folder/start.py", *few)
    assert (trained.returncode, trained.stderr) == (0, "")
    assert result(tmp_path / "run")["test_metrics"].keys() == {"cross_entropy", "confidence"}
    again = run_py("--mode=new", "--output=folder/start.py")
    assert (again.returncode, again.stderr) == (
        2,
        "run.py: --output=folder/start.py: already exists. Name another file.\n",
    )


def test_settings_of_own_parts_are_flags_and_are_stored(run_py: Run, tmp_path: Path) -> None:
    command = (OWN, "--model.width=2", "--optimizer.weight_decay=0.1", "--validation_examples=100")
    finished = run_py(*command)
    assert (finished.returncode, finished.stderr) == (0, "")
    folder = tmp_path / "runs/mine-x_and_o-seed0-validation_examples=100-model.width=2-optimizer.weight_decay=0.1"
    config = json.loads((folder / "config.json").read_text())
    assert config["model"] == {"name": "net", "names": [], "width": 2}
    assert config["optimizer"] == {"name": "decayed", "weight_decay": 0.1}
    assert config["metrics"] == [{"name": "confidence"}, {"name": "surprise", "amount": 2.0}]
    scored = result(folder)["test_metrics"]
    assert scored.keys() == {"cross_entropy", "confidence", "surprise"}
    assert 0.5 < scored["confidence"] < 1
    [row] = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    for split in ("train", "validation"):
        assert {f"{split}_loss", f"{split}_confidence", f"{split}_cross_entropy"} <= row.keys()
    assert (folder / "experiment/mine.py").read_text() == MINE
    assert json.loads((folder / "machine.json").read_text())["experiment_hash"]
    again = run_py(OWN, "--width=2", "--weight_decay=0.1", "--validation_examples=100")
    assert "holds this run, finished" in again.stderr
    assert len(list((tmp_path / "runs").iterdir())) == 1


@pytest.mark.slow
def test_run_is_resumed_by_the_same_code_alone(run_py: Run, tmp_path: Path, mine: Path) -> None:
    assert run_py(OWN, "--workdir=run").returncode == 0
    mine.write_text(MINE.replace("AdamW of mine.", "AdamW, as ever.").replace("x = nn.Conv", "x  =  nn.Conv"))
    assert run_py(OWN, "--workdir=run", "--epochs=2").returncode == 0, "a docstring is no code"
    mine.write_text(MINE.replace("strides=2", "strides=1"))
    other = run_py(OWN, "--workdir=run", "--epochs=3")
    assert (other.returncode, other.stderr.count("\n")) == (2, 1)
    assert "mine" in other.stderr and "--overwrite" in other.stderr


def test_help_beside_it_shows_its_settings_with_types_and_defaults(run_py: Run) -> None:
    shown = run_py("--help", OWN).stdout
    assert "Settings of the parts of mine:" in shown
    assert re.search(r"^  --model\.width=4 +filters of the convolution \(a whole number\)$", shown, re.MULTILINE)
    assert re.search(r"^  --model\.names=\(\) +words$", shown, re.MULTILINE)
    assert re.search(r"^  --optimizer\.weight_decay=0\.01 +a number$", shown, re.MULTILINE)
    assert re.search(r"^  --augment\.brighter\.most=0\.1 +a number$", shown, re.MULTILINE)
    changed = run_py("--help", OWN, "--model=dense", "--width=3").stdout
    assert "--model.width=" not in changed


def test_list_has_its_entries(run_py: Run) -> None:
    shown = run_py("--list", OWN).stdout
    for name, words in (("net", "A small network of mine."), ("brighter", "Images that are brighter by chance.")):
        assert re.search(rf"^  {name} +{re.escape(words)}$", shown, re.MULTILINE), name
    assert re.search(r"^  lecture_cnn ", shown, re.MULTILINE)


def test_check_shows_parts_shapes_and_one_step_and_writes_nothing(run_py: Run, tmp_path: Path) -> None:
    before = files(tmp_path)
    checked = run_py("--mode=check", OWN, "--model.width=2")
    assert (checked.returncode, checked.stderr) == (0, "")
    for words in ("net", "width=2", "float32 [64, 9, 9, 1]", "batch_stats", "parameter norm", "surprise"):
        assert words in checked.stdout
    assert files(tmp_path) == before


def test_summary_of_an_own_model(run_py: Run, tmp_path: Path) -> None:
    finished = run_py("--mode=summary", OWN, "--graph=net.svg")
    assert (finished.returncode, finished.stderr) == (0, "")
    # A convolution of 4 filters, a scale and a shift for each of them, and a dense layer.
    assert f"{(9 + 1) * 4 + 2 * 4 + (5 * 5 * 4 + 1) * 2:,}" in finished.stdout
    for layer in ("Conv_0", "BatchNorm_0", "Dense_0"):
        assert layer in finished.stdout and layer in (tmp_path / "net.svg").read_text()


@pytest.mark.slow
def test_benchmark_of_an_own_model(run_py: Run, tmp_path: Path) -> None:
    small = ("--batch_sizes=64", "--dtypes=float32", "--seconds=0.05", "--repeats=1", "--workdir=bench")
    finished = run_py("--mode=benchmark", OWN, *small)
    assert finished.returncode == 0, finished.stderr
    record = json.loads((tmp_path / "bench/benchmark.json").read_text())
    assert [case["what"] for case in record["measurements"]] == ["training step", "training epoch", "inference"]
    assert record["config"]["model"]["name"] == "net"
    assert [layer["name"] for layer in record["rooflines"][0]["layers"]] == ["Conv_0", "BatchNorm_0", "Dense_0"]
    assert "Benchmark of mine" in (tmp_path / "bench/benchmark.html").read_text()


@pytest.mark.slow
def test_evaluation_of_a_run_repeats_its_numbers_with_the_file_and_asks_for_it(run_py: Run, finished_run: Path) -> None:
    command = ("--mode=evaluate", f"--workdir={finished_run}")
    evaluated = run_py(*command, OWN)
    assert evaluated.returncode == 0, evaluated.stderr
    scores = result(finished_run)
    loss = scores["test_metrics"]["cross_entropy"]
    assert f"mnist test loss {loss:.4f}  accuracy {100 * scores['test_accuracy']:.2f} %" in evaluated.stdout
    without = run_py(*command)
    assert (without.returncode, without.stderr.count("\n")) == (2, 1)
    assert (
        f"its experiment is in a file of its own. Name it: --experiment={finished_run.parent}/mine.py" in without.stderr
    )


def test_evaluation_notes_that_the_file_has_changed(run_py: Run, finished_run: Path, mine: Path) -> None:
    mine.write_text(MINE.replace("maxval=most", "maxval=2 * most"))
    evaluated = run_py("--mode=evaluate", f"--workdir={finished_run}", OWN)
    assert evaluated.returncode == 0
    assert "mine has changed since this run was trained" in evaluated.stderr


def test_prediction_of_an_own_model(run_py: Run, finished_run: Path, tmp_path: Path) -> None:
    pixels = np.full((90, 120), 250, np.uint8)
    pixels[30:60, 40:46] = pixels[54:60, 40:70] = 20
    Image.fromarray(pixels).save(tmp_path / "four.png")
    command = ("--mode=predict", f"--workdir={finished_run}", "--images=four.png", "--output=out")
    finished = run_py(*command, OWN)
    assert (finished.returncode, finished.stderr) == (0, "")
    assert "four.png" in (tmp_path / "out/predictions.csv").read_text()
    assert run_py(*command).returncode == 2


@pytest.mark.slow
def test_export_of_an_own_model_gives_the_logits_of_the_run(
    run_py: Run, finished_run: Path, drawn_data_dir: Path, tmp_path: Path
) -> None:
    for name in ("npz", "stablehlo"):
        command = ("--mode=export", f"--workdir={finished_run}", f"--format={name}", f"--output=model.{name}")
        finished = run_py(*command, OWN)
        assert (finished.returncode, finished.stderr) == (0, "")
    with np.load(tmp_path / "model.npz") as arrays:
        assert arrays["Conv_0/kernel"].shape == (3, 3, 1, 2)
        assert arrays["batch_stats/BatchNorm_0/mean"].shape == (2,)
    program = export.deserialize(bytearray((tmp_path / "model.stablehlo").read_bytes()))
    with np.load(drawn_data_dir / next(p for p in files(drawn_data_dir) if p.match("cnn_jax/mnist/*.npz"))) as arrays:
        images = arrays["test_images"][:50]
    with np.load(finished_run / "predictions.npz") as arrays:
        np.testing.assert_allclose(jax.device_get(program.call(images)), arrays["logits"][:50], rtol=1e-4, atol=1e-4)


@pytest.mark.slow
def test_comparison_with_a_shipped_experiment_shows_own_metrics_without_a_verdict(
    run_py: Run, tmp_path: Path, browser: Browser
) -> None:
    few = ("--dataset=x_and_o", "--train_examples=640", "--epochs=1")
    compared = run_py("--mode=compare", "--experiments=mine.py,logistic", *few, "--seeds=2", "--workdir=trained")
    assert compared.returncode == 0, compared.stderr
    record = json.loads((tmp_path / "trained/compare.json").read_text())
    own, shipped = record["models"]
    assert (own["name"], shipped["name"], shipped["metrics"]) == ("mine", "logistic", {})
    folder = tmp_path / "runs/mine-x_and_o-seeds-from-0-train_examples=640-epochs=1"
    ends = [result(folder / f"seed-{seed}")["test_metrics"] for seed in (0, 1)]
    for name in ("confidence", "surprise"):
        assert own["metrics"][name]["values"] == [end[name] for end in ends]
        assert own["metrics"][name]["interval"] is not None
    assert own["test_loss"]["values"] == [end["cross_entropy"] for end in ends]
    assert "confidence" not in json.dumps(record["pairs"])
    with (tmp_path / "trained/compare.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    confidences = [str(end["confidence"]) for end in ends]
    assert [row["metrics.confidence"] for row in rows] == [*confidences, "", ""]
    low, high = own["metrics"]["confidence"]["interval"]
    shown = f"{low:.4g} to {high:.4g}"
    assert "confidence" in compared.stdout and shown in compared.stdout
    page = (tmp_path / "trained/compare.html").read_text()
    assert re.search(rf"<td[^>]*>{re.escape(shown)}</td>", page) and "they take no part in any test or verdict" in page
    require_sound(browser, tmp_path / "trained/compare.html")

    runs = f"--runs={folder},runs/logistic-x_and_o-seeds-from-0-train_examples=640-epochs=1"
    again = run_py("--mode=compare", runs, OWN, "--workdir=again")
    assert again.returncode == 0, again.stderr
    found = json.loads((tmp_path / "again/compare.json").read_text())
    assert [model["metrics"] for model in found["models"]] == [own["metrics"], {}]
    assert run_py("--mode=compare", runs, "--workdir=without").returncode == 2


@pytest.mark.slow
def test_sweep_over_settings_of_own_parts(run_py: Run, tmp_path: Path) -> None:
    swept = run_py(
        *("--mode=sweep", OWN, "--seeds=1", "--workdir=out", "--validation_examples=100"),
        "--sweep=model.width=2,4; optimizer.weight_decay=0.01:0.3:log2",
    )
    assert (swept.returncode, swept.stderr) == (0, "")
    record = json.loads((tmp_path / "out/sweep.json").read_text())
    assert sorted(tuple(tried["settings"].items()) for tried in record["settings"]) == [
        (("model.width", width), ("optimizer.weight_decay", decay)) for width in (2, 4) for decay in (0.01, 0.3)
    ]
    config = json.loads((tmp_path / "out/winner/config.json").read_text())
    best = record["winner"]["settings"]
    assert (config["model"]["width"], config["optimizer"]["weight_decay"]) == tuple(best.values())
    assert json.loads((tmp_path / "out/machine.json").read_text())["experiment_hash"]
    assert "model.width" in (tmp_path / "out/sweep.html").read_text()


@pytest.mark.slow
def test_sweep_over_models(run_py: Run, tmp_path: Path) -> None:
    swept = run_py(
        *("--mode=sweep", OWN, "--seeds=1", "--workdir=out", "--validation_examples=100"),
        "--sweep=model=cnn,dense; widths=4",
    )
    assert (swept.returncode, swept.stderr) == (0, "")
    record = json.loads((tmp_path / "out/sweep.json").read_text())
    assert {tried["settings"]["model"] for tried in record["settings"]} == {"cnn", "dense"}
    assert json.loads((tmp_path / "out/winner/config.json").read_text())["model"]["widths"] == [4]


@pytest.mark.slow
def test_overfitting_of_an_own_experiment(run_py: Run, tmp_path: Path) -> None:
    few = ("--sizes=20", "--seeds=1", "--batch_size=20", "--dataset=x_and_o", "--workdir=out")
    finished = run_py("--mode=overfitting", "--experiments=mine.py,logistic", *few)
    assert finished.returncode == 0, finished.stderr
    own, _ = json.loads((tmp_path / "out/overfitting.json").read_text())["learners"]
    end = result(tmp_path / "out/mine/train_examples=20/seed-0")
    assert (own["name"], own["test_accuracy"]["values"]) == ("mine", [end["test_accuracy"]])
    assert own["test_loss"]["values"] == [end["test_metrics"]["cross_entropy"]]


def changed(old: str, new: str) -> str:
    assert MINE.count(old) == 1, old
    return MINE.replace(old, new)


RATE = "return optax.adamw(learning_rate, weight_decay=weight_decay)"
LOSS = "return optax.softmax_cross_entropy(logits, targets)"
CONFIDENCE = "return jax.nn.softmax(logits).max(axis=-1)"
LOGITS = "return nn.Dense(self.classes)(x.reshape(len(x), -1))"
BRIGHT = "return images + jax.random.uniform(key, (len(images), 1, 1, 1), maxval=most)"
PART = 'model=Part("net", width=4)'
SHRINKS = "optax.GradientTransformation(lambda p: (), lambda g, s, p=None: ({'Dense_0': g['Dense_0']}, s))"
WIDENS = "optax.GradientTransformation(lambda p: (), lambda g, s, p=None: (jax.tree.map(lambda x: x[None], g), s))"
GROWS = "optax.GradientTransformation(lambda p: jnp.zeros(3), lambda g, s, p=None: (g, jnp.append(s, 0)))"

# What is wrong with the file, and what is said of it. `# HERE` is in the line that is named.
FAULTS: dict[str, tuple[str, str]] = {
    "raises": ("x = 1\ny = x / 0  # HERE\n", "ZeroDivisionError: division by zero"),
    "has a syntax error": ("x = 1\ndef experiment(:  # HERE\n", "SyntaxError: invalid syntax\n"),
    "imports what is not there": ("import not_there  # HERE\n", "ModuleNotFoundError: No module named 'not_there'"),
    "has no experiment()": ("x = 1\n", "--experiment=mine.py: has no function experiment()"),
    "has an experiment that raises": ("def experiment():\n    return [][0]  # HERE\n", "IndexError: list index out of"),
    "has an experiment() that needs an argument": (
        "def experiment(width):  # HERE\n    return width\n",
        "TypeError: experiment() missing 1 required positional argument: 'width'",
    ),
    "ends the program": ("import sys\n\nsys.exit()  # HERE\n", "the file calls sys.exit()."),
    "ends the program in experiment()": (
        "def experiment():\n    raise SystemExit(3)  # HERE\n",
        "the file calls sys.exit().",
    ),
    "gives something else": (
        "def experiment():  # HERE\n    return 3\n",
        "experiment() returns int, not an Experiment",
    ),
    "setting that the part has not": (
        changed(PART, 'model=Part("net", widht=4)').replace("    return Experiment(", "    return Experiment(  # HERE"),
        "--model.widht: the model net has no setting widht. It has width, names.",
    ),
    "setting of the wrong type": (
        changed(PART, 'model=Part("net", width="four")').replace("return Experiment(", "return Experiment(  # HERE"),
        "--model.width=four: must be a whole number",
    ),
    "setting out of range": (
        changed(PART, 'model=Part("net", width=0)').replace("return Experiment(", "return Experiment(  # HERE"),
        "--model.width=0: must be at least 1",
    ),
    "name in no table": (
        changed(PART, 'model="nett"').replace("return Experiment(", "return Experiment(  # HERE"),
        "--model=nett: no such model. Did you mean net?",
    ),
    "entry of the project": (
        changed('{"decayed": decayed}', '{"adamw": decayed}').replace(
            "return Experiment(", "return Experiment(  # HERE"
        ),
        "optimizers: adamw is an entry of this project. Give yours another name.",
    ),
    "entry that is no function": (
        changed('{"decayed": decayed}', '{"decayed": 3}').replace("return Experiment(", "return Experiment(  # HERE"),
        "optimizers: decayed is int, not a function.",
    ),
    "module that cannot be called": (
        changed("def __call__(self, images, *, train=False):", "def forward(self, images, *, train=False):").replace(
            "class Net(nn.Module):", "class Net(nn.Module):  # HERE"
        ),
        "the model",
    ),
    "module that takes no images": (
        changed(
            "@nn.compact\n    def __call__(self, images, *, train=False):",
            "@nn.compact  # HERE\n    def __call__(self):",
        ),
        "the model",
    ),
    "model that is no module": (
        changed('models={"net": Net},', 'models={"net": lambda width=3: width},  # HERE'),
        "--model=net: gives int, not a linen module",
    ),
    "module that raises": (changed("len(x), -1))", "len(x), 7))  # HERE"), "the model: TypeError: cannot reshape"),
    "module with the wrong shape": (
        changed(LOGITS, "return nn.Dense(self.classes)(x)").replace("@nn.compact", "@nn.compact  # HERE"),
        "the model must give logits, float [N, classes]; it gives float32 (61, 5, 5, 2)",
    ),
    "module with the wrong number of classes": (
        changed("nn.Dense(self.classes)", "nn.Dense(7)").replace("@nn.compact", "@nn.compact  # HERE"),
        "the model must give one logit for each of the 2 classes; it gives 7",
    ),
    "module with other outputs than the task asks for": (
        changed(LOGITS, f"{LOGITS.replace('return ', 'return {1: ')}}}").replace("@nn.compact", "@nn.compact  # HERE"),
        "the model must give one array of logits, as the task asks; it gives a dict of 1",
    ),
    "BatchNorm over an axis that is not there": (
        changed("nn.BatchNorm(use_running", 'nn.BatchNorm(axis_name="batch", use_running').replace(
            'x = nn.relu(nn.BatchNorm(axis_name="batch", use_running_average=not train)(x))',
            'x = nn.relu(nn.BatchNorm(axis_name="batch", use_running_average=not train)(x))  # HERE',
        ),
        "axis_name",
    ),
    "loss that is a scalar": (
        changed(LOSS, LOSS + ".mean()").replace("def smoothed(", "def smoothed(  # HERE\n    "),
        "the loss must give one number an image, float32 [N]; for N = 61 it gives float32 ()",
    ),
    "loss of float16": (
        changed(LOSS, LOSS + ".astype(jnp.float16)").replace("def smoothed(", "def smoothed(  # HERE\n    "),
        "it gives float16 (61,)",
    ),
    "metric that is a scalar": (
        changed(CONFIDENCE, CONFIDENCE.replace("axis=-1", "")).replace(
            "def confidence(", "def confidence(  # HERE\n    "
        ),
        "the metric confidence must give one number an image",
    ),
    "metric that is no number": (
        changed(CONFIDENCE, CONFIDENCE + " * jnp.nan").replace("def confidence(", "def confidence(  # HERE\n    "),
        "the metric confidence gives nan for the first images",
    ),
    "optimizer that multiplies its rate": (
        changed(RATE, "return optax.adam(learning_rate * 0.5)  # HERE"),
        "The learning rate is a schedule, a function of the step, and no number",
    ),
    "optimizer that is none": (
        changed(RATE, "return 3").replace("def decayed(", "def decayed(  # HERE\n    "),
        "the optimizer must be one of optax; it is int",
    ),
    "optimizer that needs the loss": (
        changed(RATE, "return optax.chain(optax.adam(learning_rate), optax.contrib.reduce_on_plateau())").replace(
            "def decayed(", "def decayed(  # HERE\n    "
        ),
        "One that needs the value of the loss",
    ),
    "L-BFGS": (
        changed(RATE, "return optax.lbfgs()").replace("def decayed(", "def decayed(  # HERE\n    "),
        "One that needs the value of the loss",
    ),
    "schedule-free optimizer": (
        changed(RATE, "return optax.contrib.schedule_free(optax.sgd(learning_rate), 0.1)").replace(
            "def decayed(", "def decayed(  # HERE\n    "
        ),
        "scores other parameters than it trains (schedule-free); use --average",
    ),
    "optimizer that drops parameters": (
        changed(RATE, f"return {SHRINKS}").replace("def decayed(", "def decayed(  # HERE\n    "),
        "the optimizer gives updates of other parameters than those of the model",
    ),
    "optimizer of other shapes": (
        changed(RATE, f"return {WIDENS}").replace("def decayed(", "def decayed(  # HERE\n    "),
        "the optimizer changes the shapes or dtypes of the parameters or of its own state",
    ),
    "optimizer whose state grows": (
        changed(RATE, f"return {GROWS}").replace("def decayed(", "def decayed(  # HERE\n    "),
        "the optimizer changes the shapes or dtypes of the parameters or of its own state",
    ),
    "augmentation that changes the shape": (
        changed(BRIGHT, "return images[:, 1:]").replace("def brighter(", "def brighter(  # HERE\n    "),
        "the augmentation brighter must keep shape and dtype, float32 (61, 9, 9, 1); it gives float32 (61, 8, 9, 1)",
    ),
    "augmentation that changes the dtype": (
        changed(BRIGHT, "return images.astype(jnp.bfloat16)").replace("def brighter(", "def brighter(  # HERE\n    "),
        "it gives bfloat16 (61, 9, 9, 1)",
    ),
    "dataset that is none": (
        changed('dataset="x_and_o"', 'dataset="mine"').replace(
            'models={"net": Net},', 'models={"net": Net}, datasets={"mine": lambda: 3},  # HERE'
        ),
        "--dataset=mine: gives int, not a Dataset. Make one with Dataset.from_arrays",
    ),
    "dataset that raises": (
        changed('dataset="x_and_o"', 'dataset="mine"').replace(
            'models={"net": Net},', 'models={"net": Net}, datasets={"mine": lambda: open("not_there")},  # HERE'
        ),
        "the dataset mine: FileNotFoundError",
    ),
    "task that is none": (
        changed('dataset="x_and_o"', 'task="question", dataset="x_and_o"').replace(
            'models={"net": Net},', 'models={"net": Net}, tasks={"question": lambda: {}},  # HERE'
        ),
        "--task=question: gives dict, not a Task",
    ),
    "augmentation that raises": (changed(BRIGHT, "return images @ key  # HERE"), "the augmentation brighter: "),
}


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
def test_fault_of_the_file_is_one_line_that_names_it_exit_2_and_nothing_written(
    run_py: Run, mine: Path, tmp_path: Path, fault: str
) -> None:
    text, said = FAULTS[fault]
    mine.write_text(text)
    before = files(tmp_path)
    [number] = [n for n, line in enumerate(text.splitlines(), 1) if "# HERE" in line] or [0]
    for mode in ("train", "check"):
        finished = run_py(f"--mode={mode}", OWN)
        assert finished.returncode == 2, finished.stderr
        assert finished.stderr.startswith(
            f"run.py: mine.py, line {number}: " if number else "run.py: --experiment=mine.py"
        )
        assert said in finished.stderr
        assert finished.stderr.count("\n") == 1
        assert len(finished.stderr) < 500
    assert files(tmp_path) == before


OF_FILE = (
    "--help",
    "--list",
    *(f"--mode={name}" for name, mode in run.MODES.items() if "experiment" in mode.all_flags),
)


@pytest.mark.parametrize("command", [(flag, OWN) for flag in OF_FILE], ids=" ".join)
def test_fault_is_found_by_whatever_reads_the_file(
    run_py: Run, mine: Path, tmp_path: Path, command: tuple[str, ...]
) -> None:
    mine.write_text("x = 1 / 0")
    before = files(tmp_path)
    finished = run_py(*command)
    assert (finished.returncode, finished.stdout) == (2, "")
    assert finished.stderr == "run.py: mine.py, line 1: ZeroDivisionError: division by zero\n"
    assert files(tmp_path) == before


@pytest.mark.slow
@pytest.mark.parametrize(
    "command",
    [
        ("--mode=summary", OWN),
        ("--mode=benchmark", OWN),
        ("--mode=sweep", OWN, "--sweep=epochs=1,2"),
        ("--mode=compare", "--experiments=mine.py,logistic", "--dataset=x_and_o"),
        ("--mode=compare", "--experiments=logistic,mine.py", "--dataset=x_and_o"),
        ("--mode=overfitting", "--experiments=mine.py"),
    ],
    ids=" ".join,
)
def test_part_that_does_not_fit_is_found_by_every_mode_before_it_writes(
    run_py: Run, mine: Path, tmp_path: Path, command: tuple[str, ...]
) -> None:
    mine.write_text(FAULTS["loss that is a scalar"][0])
    before = files(tmp_path)
    finished = run_py(*command)
    assert (finished.returncode, finished.stderr.count("\n")) == (2, 1)
    assert re.match(r"run\.py: mine\.py, line \d+: the loss must give one number an image", finished.stderr)
    assert files(tmp_path) == before


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--model.widht=3"], "--model.widht: the model net has no setting widht. It has width, names."),
        (["--widht=3"], "--widht: no such flag, and no chosen part has such a setting. Did you mean --width?"),
        (["--width=3.5"], "--width=3.5: must be a whole number"),
        (["--model.width=0"], "--model.width=0: must be at least 1"),
        (
            ["--amount=0.3"],
            "--amount: several parts have this setting. Name one: --loss.amount, --metrics.surprise.amount.",
        ),
        (["--model=nett"], "--model=nett: no such model. Did you mean net?"),
        (["--metrics=confidense"], "--metrics=confidense: no such metric. Did you mean confidence?"),
        (["--augment=brighter,brigter"], "--augment=brigter: no such augmentation. Did you mean brighter?"),
        (["--dtype=bfloat16"], "--dtype=bfloat16: the model net has no field dtype"),
        (["--mode=sweep", "--sweep=amount=0.1,0.2"], "Name one: --loss.amount, --metrics.surprise.amount."),
        (["--mode=sweep", "--sweep=model.width=2,0"], "--model.width=0: must be at least 1"),
        (["--mode=sweep", "--sweep=model=net,nett"], "--model=nett: no such model. Did you mean net?"),
    ],
    ids=" ".join,
)
def test_bad_setting_of_an_own_part_is_one_line_exit_2_and_nothing_written(
    run_py: Run, tmp_path: Path, arguments: list[str], said: str
) -> None:
    before = files(tmp_path)
    finished = run_py(OWN, *arguments)
    assert (finished.returncode, finished.stderr.count("\n")) == (2, 1), finished.stderr
    assert finished.stderr.startswith("run.py: --")
    assert said in finished.stderr
    assert files(tmp_path) == before


@pytest.mark.slow
def test_dataset_of_own_arrays(run_py: Run, mine: Path, tmp_path: Path) -> None:
    images = "np.random.default_rng(0).integers(0, 256, (80, 12, 12), np.uint8)"
    mine.write_text(
        changed('dataset="x_and_o",\n            train_examples=640,', 'dataset=Part("noise", classes=3),')
        .replace('models={"net": Net},', 'models={"net": Net},\n        datasets={"noise": noise},')
        .replace("import jax\n", "import jax\nimport numpy as np\n", 1)
        .replace("from cnn_jax import About", "from cnn_jax import Dataset, About")
        + f"\n\ndef noise(classes: int = 2):\n    images, labels = {images}, np.arange(80) % classes\n"
        "    return Dataset.from_arrays(images[:60], labels[:60], images[60:], labels[60:], name='noise')\n"
    )
    finished = run_py(OWN, "--dataset.classes=4")
    assert (finished.returncode, finished.stderr) == (0, "")
    assert "noise test loss" in finished.stdout
    folder = tmp_path / "runs/mine-noise-seed0-dataset.classes=4"
    with np.load(folder / "predictions.npz") as arrays:
        assert arrays["logits"].shape == (20, 4)
    asked = run_py("--mode=evaluate", f"--workdir={folder}", OWN)
    assert f"noise test loss {result(folder)['test_metrics']['cross_entropy']:.4f}" in asked.stdout, asked.stderr


@pytest.mark.slow
def test_setting_without_a_default_is_given_by_a_flag(run_py: Run, mine: Path) -> None:
    text = changed("at_least=1)] = 4\n    names: tuple[str, ...] = ()", "at_least=1)]\n    deep: bool = False")
    mine.write_text(text.replace(PART, 'model="logistic"'))
    for width in ("--model.width=3", "--width=3"):
        checked = run_py("--mode=check", OWN, "--model=net", width, "--deep")
        assert (checked.returncode, checked.stderr) == (0, "")
        assert "width=3" in checked.stdout and "deep=True" in checked.stdout
    refused = run_py("--mode=check", OWN, "--model=net")
    assert refused.stderr == "run.py: --model.width: the model net needs this setting.\n"


@pytest.mark.slow
def test_metrics_can_be_chosen(run_py: Run) -> None:
    checked = run_py("--mode=check", OWN, "--metrics=surprise", "--amount=3", "--loss=cross_entropy")
    assert checked.returncode == 0, checked.stderr
    assert "surprise" in checked.stdout and "confidence" not in checked.stdout and "amount=3.0" in checked.stdout


def test_file_is_run_once_for_each_content(mine: Path) -> None:
    module = load_module(mine)
    assert load_module(mine) is module
    mine.write_text(MINE + "\nX = 1\n")
    assert load_module(mine) is not module
