"""What every test may ask for, and the strictness that all of them run under."""

import contextlib
import fcntl
import os
import resource
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import jax
import numpy as np
import pytest

import run
from cnn_jax import compilation, data
from cnn_jax.data import cache
from cnn_jax.data.dataset import Dataset, Spec, Split, fingerprint
from tests import browser as browsers
from tests.browser import Browser

PROJECT = Path(__file__).parents[1]

# Broadcasting by accident is an error.
jax.config.update("jax_numpy_rank_promotion", "raise")

# Several devices, so that sharding is tested on a laptop. A test sees only the first one unless it is marked
# `devices(N)`: programs for many devices on two cores are slow to run, and few tests are about them.
jax.config.update("jax_num_cpu_devices", 8)
all_devices, visible_devices = jax.devices, 1
jax.devices = lambda *arguments: all_devices(*arguments)[:visible_devices]

# The same cases every time, and no clock: machines are slow at times. To fuzz for long, with new cases:
# pytest -m fuzz --hypothesis-profile=long
hypothesis.settings.register_profile("project", deadline=None, derandomize=True, max_examples=200)
hypothesis.settings.register_profile("long", deadline=None, max_examples=10_000)
hypothesis.settings.load_profile("project")


def first_quick(cases: Iterable[Any]) -> list[Any]:
    """The cases of a test that takes long: the first one runs by default, the others with `-m slow`."""
    first, *others = cases
    return [
        first,
        *(pytest.param(*(case if type(case) is tuple else (case,)), marks=pytest.mark.slow) for case in others),
    ]


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Shows the test as many devices as its mark asks for, before any fixture is made."""
    global visible_devices
    marker = item.get_closest_marker("devices")
    visible_devices = marker.args[0] if marker else 1


@pytest.fixture(autouse=True)
def programs_are_compiled_once(
    compilation_cache: Path, exchange_programs: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """What one test has compiled, in whichever process, the next one loads. A command may turn the cache off."""
    exchange_programs()
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(compilation_cache))  # not the user's, which is the default
    compilation.use_persistent_cache()
    jax.config.update("jax_enable_compilation_cache", True)
    yield
    exchange_programs()


@pytest.fixture(scope="module")
def compiled_quickly() -> Iterator[None]:
    """Leaves out what LLVM does to programs of this process: it takes most of the time, and no operation away.

    For modules that show what commands say and write. Those of bits, of references and of speed compile as users do.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compilation, "_CPU_OPTIONS", compilation._CPU_OPTIONS | compilation._RUN_ONCE_OPTIONS)
        compilation.compiler_options.cache_clear()
        yield
    compilation.compiler_options.cache_clear()


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only this machine can be reached."""
    connect = socket.socket.connect

    def connect_to_loopback(self: socket.socket, address: Any) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6) and address[0] not in ("127.0.0.1", "::1", "localhost"):
            raise AssertionError(f"a test tried to reach {address}")
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", connect_to_loopback)


@pytest.fixture(scope="session")
def _pickle_watch() -> list[tuple]:
    """What was unpickled in this process, from now on: an audit hook cannot be taken away again."""
    seen: list[tuple] = []
    sys.addaudithook(lambda event, arguments: seen.append(arguments) if event == "pickle.find_class" else None)
    return seen


@pytest.fixture
def nothing_is_unpickled(_pickle_watch: list[tuple]) -> Iterator[None]:
    """Holds that the test unpickles nothing."""
    before = len(_pickle_watch)
    yield
    assert _pickle_watch[before:] == []


@pytest.fixture(scope="session")
def mnist_dir() -> Path:
    """The folder with the four original MNIST files."""
    folder = os.environ.get("CNN_JAX_MNIST_DIR")
    if not folder:
        pytest.skip("needs the original MNIST files: set CNN_JAX_MNIST_DIR to their folder")
    return Path(folder)


@pytest.fixture(scope="session")
def shared_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that all test processes share."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


@pytest.fixture(scope="session")
def shared_folder(shared_root: Path) -> Callable[[str, Callable[[Path], None]], Path]:
    """Folders that all test processes share, by name: the first that asks for one fills it, the others wait."""

    def folder(name: str, fill: Callable[[Path], None]) -> Path:
        root = shared_root
        path, partial = root / name, root / f"{name}.partial"
        with (root / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not path.exists():
                partial.mkdir()
                fill(partial)
                partial.rename(path)
        return path

    return folder


@pytest.fixture(scope="session")
def mnist_data_dir(mnist_dir: Path, shared_folder: Callable[[str, Callable[[Path], None]], Path]) -> Path:
    """A data folder in which MNIST is prepared and cached; tests leave it as it is."""
    return shared_folder("mnist_data", lambda folder: _prepare_mnist(folder, mnist_dir))


def _prepare_mnist(data_dir: Path, mnist_dir: Path) -> None:
    data.load("mnist", data_dir=data_dir, manual_dir=mnist_dir)


@pytest.fixture(scope="session")
def glyphs_data_dir(shared_folder: Callable[[str, Callable[[Path], None]], Path]) -> Path:
    """A data folder that holds the cached glyphs of seed 0; tests leave it as it is."""
    return shared_folder("glyphs_data", lambda folder: data.load("glyphs", data_dir=folder, warn=lambda note: None))


@pytest.fixture(scope="session")
def drawn_data_dir(shared_folder: Callable[[str, Callable[[Path], None]], Path]) -> Path:
    """A data folder whose `mnist` and `fashion_mnist` are drawn: tests of runs need no original files."""
    return shared_folder("drawn_data", _draw_data)


def _draw_data(data_dir: Path) -> None:
    data.load("x_and_o", data_dir=data_dir)
    for seed, name in enumerate(("mnist", "fashion_mnist")):
        source = data.source(name)
        train, test = (drawn_split(source.spec, n, seed) for n in (source.spec.train_examples, 10_000))
        drawn = Dataset(source.spec, train, test, fingerprint(train, test))
        cache.write(data_dir / "cnn_jax" / name / f"{name}-{source.version}.npz", drawn, source.version)


def drawn_split(spec: Spec, examples: int, seed: int) -> Split:
    """Images that show their class, a bright block on a place of its own, under noise."""
    rng = np.random.default_rng([seed, examples])
    labels = rng.integers(0, len(spec.classes), examples, dtype=np.int32)
    images = rng.integers(0, 100, (examples, *spec.image_shape), dtype=np.uint8)
    for label in range(len(spec.classes)):
        row, column = divmod(label, 4)
        images[labels == label, 2 + 8 * row : 8 + 8 * row, 1 + 7 * column : 6 + 7 * column] += 120
    return Split(images, labels)


@pytest.fixture
def drawn_spec() -> Spec:
    return data.spec("mnist")


@pytest.fixture(scope="session")
def compilation_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The cache of compiled programs of this test process and of the command lines that it starts."""
    folder = tmp_path_factory.mktemp("compilation_cache")
    folder.chmod(0o700)
    return folder


@pytest.fixture(scope="session")
def exchange_programs(compilation_cache: Path, shared_root: Path) -> Callable[[], None]:
    """Gives this process's compiled programs to the other test processes, and takes theirs.

    Each process has a cache of its own, because jax writes its files in place: another process could read half of one.
    A hard link is there with all of its content or not at all.
    """
    pool, own = shared_root / "compiled_programs", compilation_cache / compilation.cache_name()
    for folder in (pool, own):
        folder.mkdir(mode=0o700, exist_ok=True)
    seen: dict[Path, int] = {}

    def exchange() -> None:
        for source, target in ((own, pool), (pool, own)):
            changed = source.stat().st_mtime_ns
            if seen.get(source) != changed:
                seen[source] = changed
                for name in {*os.listdir(source)} - {*os.listdir(target)}:
                    with contextlib.suppress(FileExistsError):
                        os.link(source / name, target / name)

    return exchange


@contextlib.contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@pytest.fixture
def full_disk() -> Callable[[int], contextlib.AbstractContextManager[None]]:
    """`with full_disk(size)`: writing a file fails after so many bytes, as on a full disk."""
    return file_size_limit


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Headless Chromium, to load pages in."""
    if browsers.program() is None:
        missing = "needs a browser: apt-get install chromium fonts-dejavu-core"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(missing)
    with browsers.started(tmp_path_factory.mktemp("chromium")) as started:
        yield started


@pytest.fixture
def command_environment(drawn_data_dir: Path, compilation_cache: Path, tmp_path: Path) -> dict[str, str]:
    """The environment of a command line: drawn data, and a home of its own."""
    return os.environ | {
        "TFDS_DATA_DIR": str(drawn_data_dir),
        "JAX_COMPILATION_CACHE_DIR": str(compilation_cache),
        "HOME": str(tmp_path),
        "PYTHONWARNINGS": "error",
    }


@pytest.fixture
def run_py(
    command_environment: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> Callable[..., subprocess.CompletedProcess[str]]:
    """`python run.py` with these flags, as typed in an empty folder, but within this process: starting takes longer."""

    def call(*arguments: str) -> subprocess.CompletedProcess[str]:
        capfd.readouterr()
        with monkeypatch.context() as patch:
            patch.chdir(tmp_path)
            for name, value in command_environment.items():
                patch.setenv(name, value)
            code = run.main([*arguments])
        return subprocess.CompletedProcess(arguments, code, *capfd.readouterr())

    return call


@pytest.fixture
def run_process(command_environment: dict[str, str], tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """`python run.py` with these flags, as typed in an empty folder. For what only a process of its own can show."""

    def start(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(PROJECT / "run.py"), *arguments]
        return subprocess.run(
            command, capture_output=True, text=True, timeout=300, cwd=tmp_path, env=command_environment
        )

    return start


@pytest.fixture
def started_run(command_environment: dict[str, str], tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """`python run.py` with these flags, started and left running, but not for longer than five minutes."""
    processes: list[subprocess.Popen[str]] = []
    timers: list[threading.Timer] = []

    def start(*arguments: str, **options: Any) -> subprocess.Popen[str]:
        command = [sys.executable, str(PROJECT / "run.py"), *arguments]
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True} | options
        processes.append(subprocess.Popen(command, cwd=tmp_path, env=command_environment, **options))
        timers.append(threading.Timer(300, processes[-1].kill))
        timers[-1].start()
        return processes[-1]

    yield start
    for process, timer in zip(processes, timers, strict=True):
        timer.cancel()
        process.kill()
        process.communicate()
