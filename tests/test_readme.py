"""The README does what it says: its commands parse, its examples run, its files exist."""

import ast
import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import experiments
import run
from cnn_jax.report import statistics
from cnn_jax.runs import initial
from cnn_jax.studies.sweep import space
from tests.conftest import PROJECT

README = (PROJECT / "README.md").read_text()
PYTHON_BLOCKS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
FILES = {match[1]: block for block in PYTHON_BLOCKS if (match := re.match(r"# (\S+\.py)\n", block))}
ENTRIES = {
    "model": "Net",
    "loss": "smoothed",
    "metric": "confidence",
    "optimizer": "clipped_adamw",
    "schedule": "warmup",
    "augmentation": "gamma",
    "task": "upside_down",
}
COMMANDS = re.findall(r"^python run\.py.*$", README, re.MULTILINE)


# Runs the examples one after the other, in one process: each start of jax takes seconds.
RUN_EXAMPLES = """
import json, sys
import run
command_lines, blocks = json.loads(sys.argv[1])
for command_line in command_lines:
    if code := run.main(command_line):
        sys.exit(f"{command_line}: exit code {code}")
for block in blocks:
    exec(block, {"__name__": "__main__"})
    print("end of block")
"""


# The entries of mine.py, and in the copy other names for them: what -> (name, other name, table, file), as the README's
# table says.
INSIDE = {
    what: (ENTRIES[what], f"inside_{ENTRIES[what]}", table, file)
    for what, table, file in re.findall(r"^\| an? (\w+) \| `([A-Z]+)` \| `(\S+)` \|$", README, re.MULTILINE)
}


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the project that is extended as the README says: by files, and by lines in its tables."""
    folder = tmp_path / "project"
    folder.mkdir()
    for name in ("cnn_jax", "experiments"):
        shutil.copytree(PROJECT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(PROJECT / "run.py", folder)
    for name, text in FILES.items():
        (folder / name).write_text(text)
    for name, inside, table, file in INSIDE.values():
        add_to(folder / file, table, inside, name)
    return folder


def add_to(file: Path, table: str, inside: str, name: str) -> None:
    """Adds a function of mine.py, or its module, and a line in a table of the project, under the name `inside`."""
    tree = ast.parse(FILES["mine.py"])
    [part] = [node for node in tree.body if getattr(node, "name", None) == name]
    used = {node.id for node in ast.walk(part) if isinstance(node, ast.Name)}
    imports = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    for node in imports:
        node.names = [alias for alias in node.names if (alias.asname or alias.name) in used]
    text = "\n".join(ast.unparse(node) for node in [*(node for node in imports if node.names), part])
    before, found, after = file.read_text().partition(f"\n{table}: Mapping")
    assert found
    file.write_text(f"{before}\n{text}\n\n{found}" + after.replace("= {", f"= {{{inside!r}: {name}, ", 1))


@pytest.mark.parametrize("command", COMMANDS)
def test_command_is_understood(command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("mine.py", "path/to/mine.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(FILES["mine.py"])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(initial, "init_from", lambda experiment, run, **flags: experiment)  # there is no such run here
    values = run.define_flags()
    typed = run.parse(shlex.split(command)[2:], values)
    assert values["mode"].value in run.MODES
    if values["config"].value is None:
        mode = run.MODES[values["mode"].value]
        names = values["experiments"].value.split(",") if values["experiments"].value else [None]
        for name in names if mode.takes != "none" else []:
            experiment, _ = run.resolve_named(name, values, typed) if name else run.resolve(values, typed)
            if values["sweep"].present:
                space.parse_dimensions(values.sweep, experiment)


def test_set_up_commands_name_files_that_exist() -> None:
    for file in re.findall(r"-r (\S+)", README):
        assert (PROJECT / file).is_file()


def test_layout_names_what_there_is() -> None:
    rooms = re.findall(r"^  (\w+)(?:/|\.py)\s", README, re.MULTILINE)
    there = {path.stem for path in (PROJECT / "cnn_jax").iterdir() if not path.name.startswith("_")}
    assert set(rooms) == there


@pytest.mark.slow
def test_examples_run(copy: Path, command_environment: dict[str, str], tmp_path: Path) -> None:
    flags = {"model": "model", "loss": "loss", "metric": "metrics", "optimizer": "optimizer", "schedule": "schedule"}
    flags |= {"augmentation": "augment", "task": "task"}
    command_lines = (
        ("--mode=summary", "--experiment=wide_kernels"),
        ("--experiment=mine.py", "--epochs=1"),
        (
            *("--dataset=x_and_o", "--train_examples=640", "--epochs=1"),
            *(f"--{flags[what]}={inside}" for what, (_, inside, _, _) in INSIDE.items()),
        ),
    )
    blocks = [block for block in PYTHON_BLOCKS if block not in FILES.values()]
    command = [sys.executable, "-c", RUN_EXAMPLES, json.dumps([command_lines, blocks])]
    finished = subprocess.run(command, cwd=copy, env=command_environment, capture_output=True, text=True, timeout=300)
    assert finished.returncode == 0, finished.stderr
    for said in ("(None, 24, 24, 32)", "stripes test loss", "stripes test cross_entropy", "x_and_o test loss"):
        assert said in finished.stdout
    assert set(INSIDE) == set(ENTRIES)
    *printed, rest = finished.stdout.partition("x_and_o test loss")[2].split("end of block\n")
    assert (len(printed), rest) == (len(blocks), "")
    assert all(printed)


def test_every_experiment_in_the_readme_exists() -> None:
    named = set(re.findall(r"--experiment=(\w+)(?!\S*\.py)", README)) - {"wide_kernels", "path", "mine"}
    assert named <= set(experiments.names())


def numbers_beside(file: str) -> list[str]:
    """The numbers with a decimal point in the README's paragraph that names a stored record."""
    [paragraph] = [text for text in README.split("\n\n") if f"`experiments/results/{file}`" in text]
    prose = re.sub(r"`[^`]*`|\w+ [\d.]+ GHz|jax [\d.]+", "", paragraph)
    return re.findall(r"\d+\.\d+", prose)


def test_gaps_of_overfitting_are_the_stored_ones() -> None:
    record = json.loads((PROJECT / "experiments/results/overfitting.json").read_text())
    gaps = {(one["name"], one["train_examples"]): 100 * one["gap"]["mean"] for one in record["learners"]}
    sizes = record["verdicts"][0]["sizes"]
    assert (len(sizes["smaller"]), sizes["larger"], sizes["no difference shown"]) == (5, [], [10_000])
    assert numbers_beside("overfitting.json") == [
        f"{gaps[name, size]:{form}}"
        for size, form in ((100, ".1f"), (1_000, ".1f"), (60_000, ".2f"))
        for name in ("lecture_cnn", "lecture_cnn_no_pooling")
    ]


def test_time_to_99_percent_is_the_stored_one() -> None:
    record = json.loads((PROJECT / "experiments/results/time_to_99.json").read_text())
    seconds = record["target"]["seconds"]
    half_width = seconds["interval"][1] - seconds["mean"]
    assert numbers_beside("time_to_99.json") == [f"{number:.1f}" for number in (seconds["mean"], half_width)]


def test_ratio_of_times_with_pooling_and_without_is_that_of_the_stored_rounds() -> None:
    summary = json.loads((PROJECT / "experiments/results/peers.json").read_text())["summary"]["training"]
    found = statistics.ratio(*(summary[variant]["cnn_jax"]["rounds"] for variant in ("pooling", "no_pooling")))
    assert found.interval is not None
    assert numbers_beside("peers.json") == [f"{number:.1f}" for number in (found.ratio, *found.interval)]
