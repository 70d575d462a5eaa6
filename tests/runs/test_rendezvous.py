"""Processes meet at one address, whoever else comes there."""

import json
import socket
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing

import pytest

from cnn_jax.errors import InputError
from cnn_jax.runs.rendezvous import Address, meet
from tests.runs.test_processes import free_address

SECONDS = 10.0


def said_to(address: Address, content: bytes) -> bytes:
    """Sends something as anybody may, and gives the answer."""
    for _ in range(1000):
        with closing(socket.socket()) as stranger:
            if stranger.connect_ex((address.host, address.port)) == 0:
                stranger.settimeout(SECONDS)
                stranger.sendall(content)
                stranger.shutdown(socket.SHUT_WR)
                return stranger.recv(1 << 16)
    raise AssertionError("nothing listens")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"\xff" * 60_000,
        b"[" * 60_000,
        b"[]\n",
        b"{}\n",
        b'{"greeting": "cnn_jax"}\n',
        b'{"greeting": "other", "processes": 2, "process": 1, "machine": ""}\n',
    ],
)
def test_strangers_are_ignored(content: bytes) -> None:
    address = Address.read(free_address())
    with ThreadPoolExecutor() as pool:
        first: Future[list[str]] = pool.submit(meet, address, 2, 0, SECONDS)
        assert said_to(address, content) == b""  # closed at once
        assert meet(address, 2, 1, SECONDS) == first.result() == 2 * [socket.gethostname()]


@pytest.mark.parametrize(
    ("processes", "process", "reason"),
    [
        (3, 1, "process 1 has --num_processes=3, and process 0 has 2"),
        (2, 0, "process 0 has joined already"),
        (2, 2, "there is no process 2"),
        (2, -1, "there is no process -1"),
    ],
)
def test_process_of_another_job_is_sent_away_with_the_reason(processes: int, process: int, reason: str) -> None:
    address = Address.read(free_address())
    greeting = {"greeting": "cnn_jax", "processes": processes, "process": process, "machine": "elsewhere"}
    with ThreadPoolExecutor() as pool:
        first = pool.submit(meet, address, 2, 0, SECONDS)
        assert reason in json.loads(said_to(address, json.dumps(greeting).encode() + b"\n"))["refused"]
        meet(address, 2, 1, SECONDS)
        first.result()


def test_processes_that_wait_learn_who_is_missing() -> None:
    address = Address.read(free_address())
    with ThreadPoolExecutor() as pool:
        others = [pool.submit(meet, address, 4, process, SECONDS) for process in (1, 3)]
        with pytest.raises(InputError, match="process 2 did not join within 1 s"):
            meet(address, 4, 0, 1.0)
        for other in others:
            with pytest.raises(InputError, match="process 2 did not join within 1 s"):
                other.result()


def test_program_that_is_no_process_0_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = Address(*server.getsockname())
        with ThreadPoolExecutor() as pool:
            other = pool.submit(meet, address, 2, 1, SECONDS)
            connection, _ = server.accept()
            connection.sendall(b"\x00\x00\x12\x04\x00not JSON\n")
            connection.close()
            with pytest.raises(InputError, match="another job or program uses this port"):
                other.result()


@pytest.mark.parametrize("text", ["", "host", "host:", ":1", "host:0", "host:65536", "host:x", "1234"])
def test_text_that_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        Address.read(text)


@pytest.mark.parametrize("text", ["127.0.0.1:1", "node-7.cluster:65535", "[fe80::1]:80"])
def test_address_is_written_as_it_was_read(text: str) -> None:
    assert str(Address.read(text)) == text
