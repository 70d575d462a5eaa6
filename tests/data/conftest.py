"""Small datasets in the form of the large ones, and servers on the loopback that misbehave."""

import contextlib
import dataclasses
import gzip
import hashlib
import json
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cnn_jax import data
from cnn_jax.data.dataset import Dataset, Split
from cnn_jax.data.mnist import MnistSource
from cnn_jax.data.source import Original

TRAIN, TEST = 48, 16
REPOSITORY = Path(__file__).parents[2]

# Loads a dataset in a process of its own and prints what came of it as JSON. A generated dataset is registered first.
PROGRAM = """
import dataclasses, json, sys
order = json.loads(sys.argv[1])
if order["is_unprivileged"] and sys.platform == "linux":
    import ctypes, struct
    ctypes.CDLL(None).capset(struct.pack("Ii", 0x20080522, 0), bytes(24))  # root then obeys file permissions too
forbidden = []
def watch(event, arguments):
    to_network = event in ("socket.connect", "socket.getaddrinfo")
    if to_network or event == "import" and arguments[0].partition(".")[0] == "tensorflow":
        forbidden.append([event, str(arguments[0])])
sys.addaudithook(watch)
from cnn_jax import data
from cnn_jax.data.source import Original
from cnn_jax.errors import ProjectError
originals = tuple(Original(**original) for original in order["originals"])
source = data.source(order["name"])
spec = dataclasses.replace(source.spec, train_examples=order["train"], test_examples=order["test"])
data.DATASETS = {order["name"]: lambda: dataclasses.replace(source, spec=spec, originals=originals)}
try:
    dataset = data.load(order["name"], data_dir=order["data_dir"], manual_dir=order["manual_dir"])
    outcome = {"fingerprint": dataset.fingerprint}
except ProjectError as error:
    outcome = {"error": type(error).__name__, "text": str(error)}
outcome |= {"forbidden": forbidden, "modules": sorted(set(name.partition(".")[0] for name in sys.modules))}
print(json.dumps(outcome))
"""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of loading in a process. forbidden: network calls and imports of TensorFlow that were tried."""

    fingerprint: str = ""
    error: str = ""
    text: str = ""
    forbidden: list[list[str]]
    modules: list[str]
    notes: list[str]


@dataclasses.dataclass(frozen=True)
class SmallDataset:
    """A dataset of the MNIST family with a few generated images. folder: its four files."""

    source: MnistSource
    train: Split
    test: Split
    folder: Path

    def served_from(self, address: str) -> "SmallDataset":
        """The same dataset, to be downloaded from `address`."""
        moved = tuple(dataclasses.replace(o, url=f"{address}/{o.filename}") for o in self.source.originals)
        return dataclasses.replace(self, source=dataclasses.replace(self.source, originals=moved))

    def load(self, data_dir: Path, manual_dir: Path | None = None) -> tuple[str, list[str]]:
        """Loads it in this process, where it is registered; returns the fingerprint and the notes."""
        notes: list[str] = []
        name = self.source.spec.name
        return data.load(name, data_dir=data_dir, manual_dir=manual_dir, warn=notes.append).fingerprint, notes

    def start(
        self, data_dir: Path, manual_dir: Path | None = None, *, is_unprivileged: bool = False, **options: Any
    ) -> subprocess.Popen[str]:
        """Starts a process that loads it, with warnings as errors.

        is_unprivileged: the process may only write what file permissions allow, even if the tests run as root.
        """
        spec = self.source.spec
        order = {
            "name": spec.name,
            "train": spec.train_examples,
            "test": spec.test_examples,
            "originals": [dataclasses.asdict(original) for original in self.source.originals],
            "data_dir": str(data_dir),
            "manual_dir": manual_dir and str(manual_dir),
            "is_unprivileged": is_unprivileged,
        }
        command = [sys.executable, "-W", "error", "-c", PROGRAM, json.dumps(order)]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        return subprocess.Popen(command, cwd=REPOSITORY, **pipes, **options)

    def load_in_process(self, data_dir: Path, manual_dir: Path | None = None, **options: Any) -> Outcome:
        """Loads it in a process of its own."""
        return self.outcome(self.start(data_dir, manual_dir, **options))

    @staticmethod
    def outcome(process: subprocess.Popen[str]) -> Outcome:
        """Waits for a process of `start`."""
        output, notes = process.communicate(timeout=60)
        assert process.returncode == 0, notes
        assert output.count("\n") == 1, f"more than the program's own line: {output}"
        return Outcome(**json.loads(output), notes=notes.splitlines())


def write_idx(path: Path, array: np.ndarray) -> None:
    path.write_bytes(
        gzip.compress(struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + bytes(array))
    )


def generate(name: str, folder: Path, seed: int = 0) -> SmallDataset:
    """Writes the four files of a small dataset."""
    random = np.random.default_rng(seed)
    source = data.source(name)
    assert isinstance(source, MnistSource)
    splits = [
        Split(random.integers(0, 256, (n, 28, 28, 1), np.uint8), random.integers(0, 10, n).astype(np.int32))
        for n in (TRAIN, TEST)
    ]
    contents = [part for split in splits for part in (split.images[..., 0], split.labels.astype(np.uint8))]
    originals = []
    for original, content in zip(source.originals, contents, strict=True):
        path = folder / original.filename
        write_idx(path, content)
        packed, unpacked = path.read_bytes(), gzip.decompress(path.read_bytes())
        sha256, content_sha256 = (hashlib.sha256(content).hexdigest() for content in (packed, unpacked))
        known = content_sha256 if original.content_sha256 else None
        originals.append(Original(original.url, len(packed), sha256, known))
    spec = dataclasses.replace(source.spec, train_examples=TRAIN, test_examples=TEST)
    return SmallDataset(dataclasses.replace(source, spec=spec, originals=tuple(originals)), *splits, folder)


def register_with(monkeypatch: pytest.MonkeyPatch, small: SmallDataset) -> None:
    """Makes a small dataset the one that `load` knows under its name."""
    monkeypatch.setattr(data, "DATASETS", {small.source.spec.name: lambda: small.source})


@pytest.fixture(autouse=True)
def loopback_without_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy of this machine's environment would not find the tests' servers."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def small(tmp_path: Path) -> SmallDataset:
    """Generated files in the place of Fashion-MNIST's."""
    folder = tmp_path / "originals"
    folder.mkdir()
    return generate("fashion_mnist", folder)


@pytest.fixture
def register(monkeypatch: pytest.MonkeyPatch) -> Callable[[SmallDataset], None]:
    """Makes a small dataset the one that `load` knows under its name."""
    return partial(register_with, monkeypatch)


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> tuple[SmallDataset, Path]:
    """A small dataset and a data folder in which it is prepared and cached; tests copy the folder."""
    small = generate("kmnist", tmp_path_factory.mktemp("originals"))
    data_dir = tmp_path_factory.mktemp("data")
    with pytest.MonkeyPatch.context() as monkeypatch:
        register_with(monkeypatch, small)
        small.load(data_dir, small.folder)
    return small, data_dir


@pytest.fixture(scope="session")
def glyphs_dataset(glyphs_data_dir: Path) -> Dataset:
    """The glyphs of seed 0."""
    return data.load("glyphs", data_dir=glyphs_data_dir)


@contextlib.contextmanager
def listening(talk: Callable[[socket.socket, threading.Event], None]) -> Iterator[str]:
    """The address of a server that does `talk` with each client until the block ends."""
    over = threading.Event()
    threads = []

    def serve() -> None:
        with contextlib.suppress(OSError):  # the end of the block shuts the server down
            while True:
                client, _ = server.accept()
                threads.append(threading.Thread(target=converse, args=(client,)))
                threads[-1].start()

    def converse(client: socket.socket) -> None:
        with client, contextlib.suppress(OSError):
            talk(client, over)

    with socket.create_server(("127.0.0.1", 0)) as server:
        threads.append(threading.Thread(target=serve))
        threads[0].start()
        try:
            yield f"http://127.0.0.1:{server.getsockname()[1]}"
        finally:
            over.set()
            server.shutdown(socket.SHUT_RDWR)
            for thread in threads:
                thread.join()


@pytest.fixture
def server() -> Callable[[Callable[[socket.socket, threading.Event], None]], contextlib.AbstractContextManager[str]]:
    """`with server(talk) as address`: talk(client, over) holds a conversation."""
    return listening


@pytest.fixture
def silent_server() -> Iterator[str]:
    """Accepts and never answers."""
    with listening(lambda client, over: over.wait()) as address:
        yield address


@pytest.fixture
def stalling_server() -> Iterator[str]:
    """Sends headers and a part of the body, and then nothing."""

    def talk(client: socket.socket, over: threading.Event) -> None:
        client.recv(4096)
        client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + bytes(5000))
        over.wait()

    with listening(talk) as address:
        yield address


@pytest.fixture
def refusing_address() -> str:
    """Nobody listens there."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"http://127.0.0.1:{server.getsockname()[1]}"


class Handler(SimpleHTTPRequestHandler):
    """Python's web server, which knows no `Range`."""

    def log_message(self, *_: object) -> None:
        pass


class RangeHandler(Handler):
    """A web server that gives the rest of a file from a byte on, as large archives have."""

    def do_GET(self) -> None:
        content = Path(self.translate_path(self.path)).read_bytes()
        start = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").removesuffix("-"))
        self.server.starts.append(start)  # type: ignore[attr-defined]
        if start >= len(content):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        self.wfile.write(content[start:])


@contextlib.contextmanager
def serving(folder: Path, handler: type[Handler] = Handler) -> Iterator[tuple[str, list[int]]]:
    """The address of a web server for the files in a folder, and where the answers of a RangeHandler began."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=str(folder))) as server:
        server.starts = []  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", server.starts  # type: ignore[attr-defined]
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def file_server(small: SmallDataset) -> Iterator[str]:
    """A web server for the files of `small`."""
    with serving(small.folder) as (address, _):
        yield address
