"""How the processes of one training meet before jax connects them: process 0 waits for all at its address.

jax's own coordinator ends every process with a stack trace where one is missing, and the processes of a running job
where a second one comes to its port. Here the missing one is named, and the second job is sent away.
"""

import contextlib
import json
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from cnn_jax.errors import InputError

_RETRY_SECONDS = 0.2
_LINE_SECONDS = 5.0  # the most that a process takes to say who it is
_LONGEST_LINE = 1 << 16  # bytes
_GREETING = "cnn_jax"


@dataclass(frozen=True)
class Address:
    """Where process 0 waits. Made from `HOST:PORT`; an IPv6 address is in brackets."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @staticmethod
    def read(text: str) -> "Address":
        """Raises ValueError if the text is no address."""
        host, _, port = text.rpartition(":")
        if not host or not 0 < int(port) < 1 << 16:
            raise ValueError("no host or no port")
        return Address(host.removeprefix("[").removesuffix("]"), int(port))


def meet(address: Address, processes: int, process: int, timeout: float) -> list[str]:
    """Waits until all processes are there. Gives the names of their machines, in the order of the processes.

    Raises InputError where one does not come within so many seconds, or where the address cannot be used.
    """
    deadline, machine = time.monotonic() + timeout, socket.gethostname()
    if process == 0:
        return _received(address, processes, machine, deadline, timeout)
    return _joined(address, {"greeting": _GREETING, "processes": processes, "process": process, "machine": machine},
                   deadline, timeout)  # fmt: skip


def _received(address: Address, processes: int, machine: str, deadline: float, timeout: float) -> list[str]:
    """Process 0: listens until all others have come, and answers all of them at once."""
    machines, waiting = {0: machine}, list[socket.socket]()
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(_listening(address))
        while len(machines) < processes and (left := deadline - time.monotonic()) > 0:
            server.settimeout(left)
            with contextlib.suppress(TimeoutError):
                connection = stack.enter_context(server.accept()[0])
                if _has_joined(connection, processes, machines):
                    waiting.append(connection)
                else:
                    connection.close()
        if missing := [number for number in range(processes) if number not in machines]:
            text = f"{_of(missing)} did not join within {timeout:g} s"
            _answer(waiting, {"refused": text})
            raise InputError(f"--coordinator={address}: {text}.")
        everyone = [machines[number] for number in range(processes)]
        _answer(waiting, {"machines": everyone})
    return everyone


def _has_joined(connection: socket.socket, processes: int, machines: dict[int, str]) -> bool:
    """Whether one of the processes has come, which is added to the machines. Another job's gets the reason."""
    connection.settimeout(_LINE_SECONDS)
    try:
        said = _line(connection)
        refusal, machine = _refusal(said, processes, machines), str(said["machine"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):  # whoever it was, it was none of ours
        return False
    if refusal:
        _answer([connection], {"refused": refusal})
    else:
        machines[said["process"]] = machine
    return not refusal


def _refusal(said: dict[str, Any], processes: int, machines: dict[int, str]) -> str:
    """Why a process may not join; empty if it may. Raises KeyError if it is none of this program."""
    process, theirs = said["process"], said["processes"]
    if said["greeting"] != _GREETING or type(process) is not int:
        raise KeyError("greeting")
    if theirs != processes:
        return f"process {process} has --num_processes={theirs}, and process 0 has {processes}"
    if process in machines:
        return f"process {process} has joined already, from {machines[process]}; a second job needs another port"
    return "" if 0 < process < processes else f"there is no process {process}"


def _listening(address: Address) -> socket.socket:
    """A socket on this address alone. Raises InputError where it cannot be had."""
    try:
        family = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((address.host, address.port), family=family)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise InputError(
            f"--coordinator={address}: process 0 cannot listen there ({reason}). Name an address of its machine, and a "
            "port that no other job uses."
        ) from None


def _joined(address: Address, greeting: dict[str, Any], deadline: float, timeout: float) -> list[str]:
    """Another process: says who it is, and waits for the answer."""
    with _connected(address, deadline, timeout) as connection:
        connection.settimeout(max(0.0, deadline - time.monotonic()) + _LINE_SECONDS)
        try:
            _answer([connection], greeting)
            answer = _line(connection)
        except (OSError, ValueError):
            raise InputError(
                f"--coordinator={address}: what listens there is no process 0 that waits: another job or program uses "
                "this port. Name another one."
            ) from None
    if "machines" not in answer:
        raise InputError(f"--coordinator={address}: {answer.get('refused')}.")
    return list(answer["machines"])


def _connected(address: Address, deadline: float, timeout: float) -> socket.socket:
    """A connection to process 0, which may start later than this one. Raises InputError."""
    while True:
        left = deadline - time.monotonic()
        try:
            return socket.create_connection((address.host, address.port), timeout=max(left, _RETRY_SECONDS))
        except OSError as error:
            if left <= _RETRY_SECONDS:
                reason = (error.strerror or str(error)).lower()
                raise InputError(
                    f"--coordinator={address}: process 0 cannot be reached within {timeout:g} s ({reason})."
                ) from None
        time.sleep(_RETRY_SECONDS)


def _answer(connections: list[socket.socket], content: dict[str, Any]) -> None:
    """Sends a line to each of them."""
    for connection in connections:
        with contextlib.suppress(OSError):  # it has gone: that is noticed when jax connects
            connection.sendall(json.dumps(content).encode() + b"\n")


def _line(connection: socket.socket) -> dict[str, Any]:
    """The line that the other side sends. Raises ValueError if it is none, OSError if nothing comes."""
    content = json.loads(b"".join(_until_its_end(connection)))
    if not isinstance(content, dict):
        raise ValueError("no object")
    return content


def _until_its_end(connection: socket.socket) -> Iterator[bytes]:
    received = 0
    while received < _LONGEST_LINE and (part := connection.recv(4096)):
        received += len(part)
        yield part
        if part.endswith(b"\n"):
            return


def _of(numbers: list[int]) -> str:
    return f"process{'es' if len(numbers) > 1 else ''} {', '.join(map(str, numbers))}"
