"""A download ends: with the bytes, or with an error in a time that is known beforehand."""

import socket
import threading
import time
from pathlib import Path

import pytest

from cnn_jax.data import download
from cnn_jax.data.download import DownloadError, fetch

SILENCE = 0.6  # seconds


def test_the_default_patience_leaves_time_to_answer_within_fifteen_seconds() -> None:
    assert download.SILENCE <= 10


@pytest.mark.parametrize("kind", ["silent_server", "stalling_server"])
def test_a_network_that_falls_silent_is_given_up(kind: str, request: pytest.FixtureRequest) -> None:
    address = request.getfixturevalue(kind)
    with pytest.raises(DownloadError, match=f"no answer .* 0.6 s .*{address}/file"):
        fetch(f"{address}/file", 100_000, silence=SILENCE)


@pytest.mark.long
def test_silence_is_reported_in_time_and_a_refused_connection_at_once(
    silent_server: str, refusing_address: str
) -> None:
    for address, silence, limit in ((silent_server, SILENCE, SILENCE + 4), (refusing_address, 10, 5)):
        began = time.monotonic()
        with pytest.raises(DownloadError):
            fetch(f"{address}/file", 100_000, silence=silence)
        assert time.monotonic() - began < limit  # the machine may be busy


def test_a_refused_connection_is_reported_as_such(refusing_address: str) -> None:
    with pytest.raises(DownloadError, match="Connection refused"):
        fetch(f"{refusing_address}/file", 10, silence=10)


def test_a_slow_download_that_moves_is_not_given_up(server) -> None:
    pieces = 8

    def trickle(client: socket.socket, over: threading.Event) -> None:
        client.recv(4096)
        client.sendall(f"HTTP/1.1 200 OK\r\nContent-Length: {pieces * 1024}\r\n\r\n".encode())
        for piece in range(pieces):
            over.wait(SILENCE / 2)
            client.sendall(bytes([piece]) * 1024)

    with server(trickle) as address:
        content = fetch(f"{address}/file", pieces * 1024, silence=SILENCE)
    assert content == b"".join(bytes([piece]) * 1024 for piece in range(pieces))


def test_a_body_that_goes_on_is_cut_off_one_byte_after_the_expected_size(server) -> None:
    pieces = 500  # of 64 KiB: more than the two ends' buffers hold
    sent: list[int] = []

    def pour(client: socket.socket, over: threading.Event) -> None:
        client.recv(4096)
        client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        for piece in range(pieces):
            client.sendall(bytes(1 << 16))
            sent.append(piece)

    with server(pour) as address:
        assert len(fetch(f"{address}/file", 5000, silence=10)) == 5001
    assert len(sent) < pieces


def test_a_connection_that_breaks_off_is_an_error(server) -> None:
    def break_off(client: socket.socket, over: threading.Event) -> None:
        client.recv(4096)
        client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n" + bytes(3000))

    with server(break_off) as address, pytest.raises(DownloadError, match="file cannot be fetched"):
        fetch(f"{address}/file", 5000, silence=10)


def test_a_missing_page_is_an_error_that_says_so(small, file_server: str) -> None:
    with pytest.raises(DownloadError, match="404"):
        fetch(f"{file_server}/nothing", 5000, silence=10)


def test_a_file_arrives_whole(small, file_server: str) -> None:
    path = Path(small.folder, "train-images-idx3-ubyte.gz")
    assert fetch(f"{file_server}/{path.name}", path.stat().st_size, silence=10) == path.read_bytes()
