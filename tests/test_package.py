"""The package: what the wheel holds, what the installed command does, the lock file, and a lab without a network."""

import email
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import venv
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import cnn_jax
from tests.conftest import PROJECT

Command = Callable[..., subprocess.CompletedProcess[str]]

PIP = (sys.executable, "-m", "pip")
LOCK = PROJECT / "tests/requirements.lock"
SOURCES = ("cnn_jax", "experiments", "run.py", "pyproject.toml", "requirements.txt", "README.md", "LICENSE")
SHORT = ("--experiment=x_and_o", "--train_examples=64", "--epochs=1", "--widths=4,8")
LAB = re.findall(r"^python3 -m venv .*wheelhouse.*$", (PROJECT / "README.md").read_text(), re.MULTILINE)

IMPORTING = """
import importlib.metadata

import cnn_jax
from cnn_jax import *
from cnn_jax_command.experiments import x_and_o

assert isinstance(x_and_o.experiment(), Experiment)
print(cnn_jax.__version__, importlib.metadata.version("cnn-jax"), cnn_jax.__file__)
"""
# Imports modules of the user's own that have the names of ours in a checkout.
WITH_NAMES_OF_OURS = """
import experiments
import run

from cnn_jax import Experiment


def experiment():
    return Experiment().vary(dataset="x_and_o", train_examples=64, epochs=run.EPOCHS, widths=experiments.WIDTHS)
"""


def copy_of_sources(folder: Path) -> Path:
    """What the package is built from: building leaves folders beside it."""
    for name in SOURCES:
        if (PROJECT / name).is_dir():
            shutil.copytree(PROJECT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(PROJECT / name, folder)
    return folder


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package, built without a network."""
    sources = copy_of_sources(tmp_path_factory.mktemp("sources"))
    built = tmp_path_factory.mktemp("wheel")
    build = (
        "wheel",
        "--no-deps",
        "--no-index",
        "--no-build-isolation",
        "--quiet",
        f"--wheel-dir={built}",
        str(sources),
    )
    subprocess.run([*PIP, *build], check=True, timeout=120)
    [file] = built.iterdir()
    return file


@pytest.fixture(scope="module")
def installation(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the package. It sees the libraries of this one, which has no such package."""
    folder = tmp_path_factory.mktemp("installation")
    venv.create(folder, symlinks=True)
    install = ("--python", str(folder / "bin/python"), "install", "--no-deps", "--no-index", "--quiet", str(wheel))
    subprocess.run([*PIP, *install], check=True, timeout=120)
    libraries = [path for path in sys.path if Path(path).name in ("site-packages", "dist-packages")]
    (site_packages(folder) / "libraries.pth").write_text("\n".join(libraries))
    return folder


def site_packages(environment: Path) -> Path:
    [folder] = environment.glob("lib/python*/site-packages")
    return folder


@pytest.fixture
def installed(installation: Path, command_environment: dict[str, str], tmp_path: Path) -> Command:
    """Commands in a shell, as typed in an empty folder where the package is installed."""
    path = f"{installation / 'bin'}{os.pathsep}{os.environ['PATH']}"
    environment = {name: value for name, value in command_environment.items() if name != "PYTHONPATH"} | {"PATH": path}

    def call(command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, shell=True, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300
        )

    return call


def succeeded(finished: subprocess.CompletedProcess[str]) -> str:
    """What a command has printed."""
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


@pytest.mark.slow
def test_wheel_holds_every_module_and_template_the_command_and_the_experiments(wheel: Path) -> None:
    files = [path for path in PROJECT.glob("cnn_jax/**/*") if path.is_file() and "__pycache__" not in path.parts]
    ours = {path.relative_to(PROJECT).as_posix() for path in files}
    ours |= {f"cnn_jax_command/{path.relative_to(PROJECT)}" for path in PROJECT.glob("experiments/*.py")}
    names = zipfile.ZipFile(wheel).namelist()
    assert {name for name in names if ".dist-info/" not in name} == ours | {"cnn_jax_command/run.py"}


@pytest.mark.slow
def test_wheel_says_version_python_license_and_the_requirements(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    [name] = [name for name in archive.namelist() if name.endswith("/METADATA")]
    about = email.message_from_bytes(archive.read(name))
    said = [about[field] for field in ("Name", "Version", "Requires-Python", "License-Expression")]
    assert said == ["cnn-jax", cnn_jax.__version__, ">=3.11", "Apache-2.0"]
    assert set(map(Requirement, about.get_all("Requires-Dist"))) == requirements("requirements.txt")


@pytest.mark.slow
def test_installing_adds_no_names_but_cnn_jax_and_cnn_jax_command(
    installation: Path, installed: Command, tmp_path: Path
) -> None:
    names = {path.name for path in site_packages(installation).iterdir()}
    about = f"cnn_jax-{cnn_jax.__version__}.dist-info"
    assert names == {"cnn_jax", "cnn_jax_command", about, "libraries.pth"}
    for name in ("run", "experiments"):
        assert "ModuleNotFoundError" in installed(f"python -c 'import {name}'").stderr
    (tmp_path / "mine.py").write_text(IMPORTING)
    version, noted, file = succeeded(installed("python mine.py")).split()
    assert version == noted == cnn_jax.__version__
    assert Path(file).parent == site_packages(installation) / "cnn_jax"


@pytest.mark.slow
@pytest.mark.parametrize("flags", ["--list", "--help", "--help --experiment=dense"])
def test_installed_command_says_what_the_checkout_says_under_its_own_name(
    flags: str, installed: Command, run_py: Command
) -> None:
    said = succeeded(run_py(*flags.split())).replace("python run.py", "cnn-jax")
    assert succeeded(installed(f"cnn-jax {flags}")) == said


@pytest.mark.slow
def test_installed_command_trains_repeats_exports_and_shows_pages(installed: Command, tmp_path: Path) -> None:
    flags = " ".join(SHORT)
    assert "x_and_o test loss" in succeeded(installed(f"cnn-jax {flags} --workdir=run"))
    machine = json.loads((tmp_path / "run/machine.json").read_text())
    assert (machine["versions"]["cnn_jax"], machine["git_commit"]) == (cnn_jax.__version__, None)
    succeeded(installed("cnn-jax --config=run/config.json --workdir=again"))
    assert (tmp_path / "again/predictions.npz").read_bytes() == (tmp_path / "run/predictions.npz").read_bytes()
    succeeded(installed("cnn-jax --mode=export --workdir=run"))
    succeeded(installed("cnn-jax --mode=compare --runs=run,again --workdir=compared"))
    page = re.sub("</?code>", "", (tmp_path / "compared/compare.html").read_text())
    assert "Made by cnn-jax --mode=compare" in page
    assert "run.py" not in page


@pytest.mark.slow
def test_commands_of_an_installed_starter_file_run_as_they_are_written(installed: Command, tmp_path: Path) -> None:
    made = succeeded(installed("cnn-jax --mode=new --output='my file.py'"))
    check, _train, vary, show = re.findall(r"^    (cnn-jax .*)$", (tmp_path / "my file.py").read_text(), re.MULTILINE)
    assert f"To try it: {check}\n" in made
    assert "all parts fit each other" in succeeded(installed(check))
    assert "--model.width=16" in succeeded(installed(show))
    few = "--dataset=x_and_o --train_examples=64 --epochs=1"
    assert "(95 % CI, n = 3)" in succeeded(installed(f"{vary} {few}"))


@pytest.mark.slow
def test_installed_command_sweeps_own_file_in_several_processes_beside_modules_named_run_and_experiments(
    installed: Command, tmp_path: Path
) -> None:
    (tmp_path / "mine.py").write_text(WITH_NAMES_OF_OURS)
    (tmp_path / "run.py").write_text("EPOCHS = 1\n")
    (tmp_path / "experiments.py").write_text("WIDTHS = (4, 8)\n")
    sweep = "--mode=sweep --sweep=learning_rate=0.001,0.01 --seeds=1 --jobs=2"
    _, second = succeeded(installed(f"cnn-jax --experiment=mine.py {sweep} --print_commands")).splitlines()
    assert "trial 2/2" in succeeded(installed(second))
    said = succeeded(installed(f"cnn-jax --experiment=mine.py {sweep}"))
    assert "1 trial already finished" in said and "trial 1/2" in said


@pytest.mark.slow
def test_error_of_the_installed_command_is_one_line_under_its_name(installed: Command, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("from experiments import lecture_cnn\n")
    for flag, said in (
        ("--experiment=nothing", "--experiment=nothing: no such experiment."),
        ("--experiment=mine.py", "mine.py, line 1: ModuleNotFoundError: No module named 'experiments'"),
    ):
        finished = installed(f"cnn-jax {flag}")
        assert (finished.returncode, finished.stderr.count("\n")) == (2, 1), finished.stderr
        assert finished.stderr.startswith(f"cnn-jax: {said}")


def test_package_list_names_every_package() -> None:
    settings = tomllib.loads((PROJECT / "pyproject.toml").read_text())["tool"]["setuptools"]
    found = {".".join(path.parent.relative_to(PROJECT).parts) for path in PROJECT.glob("cnn_jax/**/__init__.py")}
    assert set(settings["packages"]) == found | {"cnn_jax_command", "cnn_jax_command.experiments"}


def requirements(*files: str) -> set[Requirement]:
    """The requirements in files of pip."""
    lines = [line.partition("#")[0].strip() for file in files for line in (PROJECT / file).read_text().splitlines()]
    return {Requirement(line) for line in lines if line}


def test_lock_file_has_one_exact_version_of_every_requirement_its_date_and_no_host() -> None:
    text = LOCK.read_text()
    assert re.match(r"# .* on \d{4}-\d\d-\d\d for Python 3\.11\b", text)
    assert "://" not in text
    locked = {}
    for requirement in requirements("tests/requirements.lock"):
        [exact] = requirement.specifier
        assert exact.operator == "=="
        assert locked.setdefault(canonicalize_name(requirement.name), exact.version) == exact.version
    for requirement in requirements("requirements.txt", "tests/requirements.txt"):
        assert locked[canonicalize_name(requirement.name)] in requirement.specifier, requirement


@pytest.mark.long
def test_lab_without_a_network_installs_from_a_wheelhouse_in_two_commands(
    command_environment: dict[str, str], tmp_path: Path
) -> None:
    with_network, without = tmp_path / "with_network", tmp_path / "without"
    with_network.mkdir()
    copy_of_sources(with_network)
    (with_network / "tests").mkdir()
    shutil.copy(LOCK, with_network / "tests")
    python = Path(sys.executable).resolve().parent
    environment = os.environ | {"PATH": f"{python}{os.pathsep}{os.environ['PATH']}"}
    collect, install = LAB
    subprocess.run(collect, shell=True, check=True, cwd=with_network, env=environment, timeout=900)
    shutil.copytree(with_network / "wheelhouse", without / "wheelhouse")
    offline = environment | dict.fromkeys(("http_proxy", "https_proxy"), "http://127.0.0.1:9")
    subprocess.run(install, shell=True, check=True, cwd=without, env=offline, timeout=900)
    command = [without / ".venv/bin/cnn-jax", *SHORT]
    finished = subprocess.run(
        command, cwd=without, env=command_environment, capture_output=True, text=True, timeout=300
    )
    assert "x_and_o test loss" in succeeded(finished)
