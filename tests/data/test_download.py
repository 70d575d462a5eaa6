"""A download ends: with the file, or with an error in a time that is known beforehand, and it can be continued."""

import gzip
import socket
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from cnn_jax.data import download
from cnn_jax.data.download import DownloadError
from tests.data.conftest import Handler, RangeHandler, serving

SILENCE = 0.6  # seconds


@pytest.fixture
def partial(tmp_path: Path) -> Path:
    """Where the file is to be written."""
    return tmp_path / "file.partial"


def fetch(url: str, partial: Path, size: int, *, silence: float) -> bytes:
    """Downloads a file, and returns what is there then."""
    download.fetch(url, partial, size, silence=silence)
    return partial.read_bytes()


def test_the_default_patience_leaves_time_to_answer_within_fifteen_seconds() -> None:
    assert download.SILENCE <= 10


@pytest.mark.parametrize("kind", ["silent_server", "stalling_server"])
def test_a_network_that_falls_silent_is_given_up(kind: str, partial: Path, request: pytest.FixtureRequest) -> None:
    address = request.getfixturevalue(kind)
    with pytest.raises(DownloadError, match=f"no answer .* 0.6 s .*{address}/file"):
        fetch(f"{address}/file", partial, 100_000, silence=SILENCE)


@pytest.mark.long
def test_silence_is_reported_in_time_and_a_refused_connection_at_once(
    silent_server: str, refusing_address: str, partial: Path
) -> None:
    for address, silence, limit in ((silent_server, SILENCE, SILENCE + 4), (refusing_address, 10, 5)):
        began = time.monotonic()
        with pytest.raises(DownloadError):
            fetch(f"{address}/file", partial, 100_000, silence=silence)
        assert time.monotonic() - began < limit  # the machine may be busy


def test_a_refused_connection_is_reported_as_such_and_nothing_is_written(refusing_address: str, partial: Path) -> None:
    with pytest.raises(DownloadError, match="Connection refused"):
        fetch(f"{refusing_address}/file", partial, 10, silence=10)
    assert not partial.exists()


def test_a_slow_download_that_moves_is_not_given_up(server, partial: Path) -> None:
    pieces = 8

    def trickle(client: socket.socket, over: threading.Event) -> None:
        client.recv(4096)
        client.sendall(f"HTTP/1.1 200 OK\r\nContent-Length: {pieces * 1024}\r\n\r\n".encode())
        for piece in range(pieces):
            over.wait(SILENCE / 2)
            client.sendall(bytes([piece]) * 1024)

    with server(trickle) as address:
        content = fetch(f"{address}/file", partial, pieces * 1024, silence=SILENCE)
    assert content == b"".join(bytes([piece]) * 1024 for piece in range(pieces))


def test_a_body_that_goes_on_is_cut_off_one_byte_after_the_expected_size(server, partial: Path) -> None:
    pieces = 500  # of 64 KiB: more than the two ends' buffers hold
    sent: list[int] = []

    def pour(client: socket.socket, over: threading.Event) -> None:
        client.recv(4096)
        client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        for piece in range(pieces):
            client.sendall(bytes(1 << 16))
            sent.append(piece)

    with server(pour) as address:
        assert len(fetch(f"{address}/file", partial, 5000, silence=10)) == 5001
    assert len(sent) < pieces


def test_a_connection_that_breaks_off_is_an_error_and_what_has_arrived_is_kept(server, partial: Path) -> None:
    def break_off(client: socket.socket, over: threading.Event) -> None:
        client.recv(4096)
        client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n" + bytes(3000))

    with server(break_off) as address, pytest.raises(DownloadError, match="file cannot be fetched"):
        fetch(f"{address}/file", partial, 5000, silence=10)
    assert partial.read_bytes() == bytes(3000)


def test_a_missing_page_is_an_error_that_says_so_and_keeps_what_is_there(
    small, file_server: str, partial: Path
) -> None:
    partial.write_bytes(b"the beginning")
    with pytest.raises(DownloadError, match="404"):
        fetch(f"{file_server}/nothing", partial, 5000, silence=10)
    assert partial.read_bytes() == b"the beginning"


def test_a_file_arrives_whole(small, file_server: str, partial: Path) -> None:
    path = Path(small.folder, "train-images-idx3-ubyte.gz")
    assert fetch(f"{file_server}/{path.name}", partial, path.stat().st_size, silence=10) == path.read_bytes()


CONTENT = np.random.default_rng(0).bytes(300_000)


@pytest.mark.parametrize(
    ("kept", "starts"), [(1, [1]), (299_999, [299_999]), (300_000, [300_000, 0]), (400_000, [400_000, 0])]
)
def test_what_is_there_is_continued_where_the_server_can_do_that(
    tmp_path: Path, partial: Path, kept: int, starts: list[int]
) -> None:
    """A beginning that is longer than the file is of another one: the server says so, and all is fetched."""
    (tmp_path / "file").write_bytes(CONTENT)
    partial.write_bytes((CONTENT * 2)[:kept])
    with serving(tmp_path, RangeHandler) as (address, began):
        assert fetch(f"{address}/file", partial, len(CONTENT), silence=10) == CONTENT
    assert began == starts


def test_a_server_that_knows_no_range_gives_the_file_from_the_beginning(tmp_path: Path, partial: Path) -> None:
    (tmp_path / "file").write_bytes(CONTENT)
    partial.write_bytes(b"what is there" * 1000)
    with serving(tmp_path, Handler) as (address, _):
        assert fetch(f"{address}/file", partial, len(CONTENT), silence=10) == CONTENT


def test_a_server_that_continues_elsewhere_is_asked_for_the_whole_file(server, partial: Path) -> None:
    def continue_elsewhere(client: socket.socket, over: threading.Event) -> None:
        if b"Range: bytes=1000-" in client.recv(4096):
            client.sendall(
                b"HTTP/1.1 206 Partial\r\nContent-Range: bytes 0-9/5000\r\nContent-Length: 10\r\n\r\n" + bytes(10)
            )
        else:
            client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n" + bytes(5000))

    partial.write_bytes(bytes(1000))
    with server(continue_elsewhere) as address:
        assert fetch(f"{address}/file", partial, 5000, silence=10) == bytes(5000)


def test_a_continued_body_that_goes_on_is_cut_off_one_byte_after_the_expected_size(server, partial: Path) -> None:
    def pour(client: socket.socket, over: threading.Event) -> None:
        client.recv(4096)
        client.sendall(b"HTTP/1.1 206 Partial\r\nContent-Range: bytes 4000-5999/6000\r\n\r\n" + bytes(100_000))

    partial.write_bytes(bytes(4000))
    with server(pour) as address:
        assert len(fetch(f"{address}/file", partial, 5000, silence=10)) == 5001


def test_a_file_that_the_server_calls_compressed_arrives_as_it_is_stored(server, partial: Path) -> None:
    """Some servers do that with `.gz` files."""
    packed = gzip.compress(b"content")

    def call_it_compressed(client: socket.socket, over: threading.Event) -> None:
        client.recv(4096)
        head = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(packed)}\r\n\r\n"
        client.sendall(head.encode() + packed)

    with server(call_it_compressed) as address:
        assert fetch(f"{address}/file", partial, len(packed), silence=10) == packed


def test_nothing_is_written_after_a_download_was_given_up(server, partial: Path) -> None:
    def wake_up_late(client: socket.socket, over: threading.Event) -> None:
        client.recv(4096)
        client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + bytes(5000))
        time.sleep(2 * SILENCE)
        client.sendall(bytes(95_000))
        woken.set()

    woken = threading.Event()
    with server(wake_up_late) as address:
        with pytest.raises(DownloadError, match="no answer"):
            fetch(f"{address}/file", partial, 100_000, silence=SILENCE)
        given_up = partial.read_bytes()
        assert woken.wait(10)
        time.sleep(0.1)
    assert 0 < len(given_up) <= 5000
    assert partial.read_bytes() == given_up
