"""The processes that run one training, on one machine or on many. Mostly there is one, and nothing of this happens.

`jax.distributed` connects them. What they have to agree on beside jax's arrays, a few words between two chunks, goes
through its key-value store, where everything has a time limit: a process that does not answer is named.
"""

import atexit
import contextlib
import ctypes
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

from cnn_jax import program
from cnn_jax.errors import DivergedError, InputError, Interrupted, MachineError, ProjectError, printable
from cnn_jax.runs.rendezvous import Address, meet

JOIN_SECONDS = 60.0
PATIENCE = 12.0  # seconds without an answer until a process counts as lost
WITHOUT_HURRY = 3600.0  # seconds: compiling takes as long as it takes; meanwhile `_Watch` looks whether all are there
_ROUND_SECONDS = 2.0  # between two looks
_HEARTBEAT_SECONDS = 60  # jax then ends the process, with a stack trace, where `_Watch` itself cannot
_LAST_SECONDS = 3.0  # process 0 ends after the others, which jax would end with a stack trace

# One of these is there where a cluster has started this process, and jax may know how to read the others.
_SIGNS_OF_A_CLUSTER = ("SLURM_STEP_NODELIST", "OMPI_MCA_orte_hnp_uri", "JOB_COMPLETION_INDEX", "TPU_WORKER_HOSTNAMES")


@dataclass(frozen=True)
class Processes:
    """One process among those of a training. machines: the name of each one's machine."""

    index: int = 0
    machines: tuple[str, ...] = ("",)
    _rounds: dict[str, int] = field(default_factory=dict, compare=False)

    @property
    def count(self) -> int:
        return len(self.machines)

    @property
    def is_first(self) -> bool:
        """Whether this is process 0, which alone writes files and prints."""
        return self.index == 0

    def name(self, index: int) -> str:
        """A process in words, as in `process 1 (node7)`."""
        return f"process {index} ({self.machines[index]})"

    def exchange(self, value: Any, patience: float = WITHOUT_HURRY, topic: str = "main") -> list[Any]:
        """What each process gives, in their order. All call it, with something that JSON can hold.

        topic: calls of another topic may run at the same time. Raises MachineError where one does not come.
        """
        if self.count == 1:
            return [value]
        number = self._rounds.get(topic, 0)
        self._rounds[topic] = number + 1
        place = f"cnn_jax/{topic}/{number}"
        if not self.is_first:
            return self._given(place, value, patience)
        _client().key_value_delete(f"cnn_jax/{topic}/{number - 2}")  # which all have read: they have called again
        return self._gathered(place, value, patience)

    def _gathered(self, place: str, value: Any, patience: float) -> list[Any]:
        """Process 0: collects what the others give, and tells them."""
        values, deadline = [value], time.monotonic() + patience
        for index in range(1, self.count):
            try:
                values.append(_get(f"{place}/{index}", deadline - time.monotonic()))
            except TimeoutError:
                _set(f"{place}/all", {"lost": index})
                raise self._lost(index, patience) from None
        _set(f"{place}/all", {"values": values})
        return values

    def _given(self, place: str, value: Any, patience: float) -> list[Any]:
        """Another process: gives its own, and waits for those of all."""
        _set(f"{place}/{self.index}", value)
        try:
            found = _get(f"{place}/all", patience + 1)
        except TimeoutError:
            found = {"lost": 0}
        if "lost" in found:
            raise self._lost(found["lost"], patience)
        return list(found["values"])

    def _lost(self, index: int, patience: float) -> MachineError:
        return MachineError(f"{self.name(index)} has ended or hangs: it has not answered for {patience:g} s.")

    def require_same(self, facts: Mapping[str, Any]) -> None:
        """Raises InputError in every process where one has other facts than process 0. The difference is named."""
        if self.count == 1:
            return
        first, *others = self.exchange(dict(facts))
        for index, theirs in enumerate(others, start=1):
            for name in dict.fromkeys((*first, *theirs)):
                if first.get(name) != theirs.get(name):
                    raise InputError(
                        f"{self.name(index)} differs from process 0: {name} is {theirs.get(name)} instead of "
                        f"{first.get(name)}."
                    )


ALONE = Processes()


def _client() -> Any:
    from jax._src import distributed  # Orbax takes it from there too: jax has no public name for the key-value store

    return distributed.global_state.client


def _set(key: str, value: Any) -> None:
    _client().key_value_set(key, json.dumps(value))


def _get(key: str, seconds: float) -> Any:
    """The value of a key, as soon as it is there. Raises TimeoutError if it does not come in time."""
    import jax

    try:
        return json.loads(_client().blocking_key_value_get(key, max(1, round(seconds * 1000))))
    except jax.errors.JaxRuntimeError:
        raise TimeoutError from None


@contextlib.contextmanager
def joined(
    coordinator: Address | None = None,
    num_processes: int | None = None,
    process_id: int | None = None,
    join_timeout: float = JOIN_SECONDS,
) -> Iterator[Processes]:
    """The processes of a training, of which this is one, until the block ends. Call it before jax is used.

    What is not given is read from the environment of the cluster that has started them. Without both there is one
    process. If another process fails, this one ends too: with one line, and the other's exit code. Raises InputError.
    """
    place = _place(coordinator, num_processes, process_id, join_timeout)
    if place is None:
        yield ALONE
        return
    address, count, index, local_devices = place
    processes = Processes(index, tuple(meet(address, count, index, join_timeout)))
    _connect(address, processes, local_devices)
    watch = _Watch(processes)
    try:
        yield processes
    except (Interrupted, DivergedError):  # all raise it together
        watch.leave_together()
        raise
    except ProjectError as error:
        watch.leave_alone(error.exit_code, str(error))
        raise
    except KeyboardInterrupt:
        watch.leave_alone(130, "Interrupted")
        raise
    except Exception as error:
        watch.wait_for_the_reason()  # where another process was lost, jax knows it first, but not which one
        watch.leave_alone(1, str(error))
        raise
    else:
        watch.leave_together()


def _place(
    coordinator: Address | None, num_processes: int | None, process_id: int | None, timeout: float
) -> tuple[Address, int, int, list[int] | None] | None:
    """Where to meet, how many processes there are, which one this is, and its devices; None where it is alone."""
    if coordinator is None and num_processes is None and process_id is None:
        if not any(name in os.environ for name in _SIGNS_OF_A_CLUSTER):
            return None
    elif num_processes == 1:
        return None
    address, count, index, local_devices = _with_cluster(coordinator, num_processes, process_id, timeout)
    if count == 1 or (count, coordinator, process_id) == (None, None, None):
        return None
    for name, value in (("coordinator", address), ("num_processes", count), ("process_id", index)):
        if value is None:
            raise InputError(f"--{name}: is needed too: no cluster that jax knows has started this process.")
    if count < 1:
        raise InputError(f"--num_processes={count}: must be at least 1.")
    if not 0 <= index < count:
        raise InputError(f"--process_id={index}: must be between 0 and {count - 1}, for {count} processes.")
    return address, count, index, local_devices


def _with_cluster(
    coordinator: Address | None, count: int | None, index: int | None, timeout: float
) -> tuple[Any, Any, Any, list[int] | None]:
    """The same, with what is not given read from the environment of a cluster, as `jax.distributed` does."""
    from jax._src import clusters  # the public function connects at once, and listens on every address of the machine

    if coordinator and count is not None and index is not None:
        return coordinator, count, index, None
    text, detect = str(coordinator) if coordinator else None, clusters.ClusterEnv.auto_detect_unset_distributed_params
    try:
        address, count, index, devices = detect(text, count, index, None, None, round(timeout))
        return address and Address.read(address), count, index, [*devices] if devices else None
    except (RuntimeError, ValueError, OSError) as error:
        raise InputError(f"The cluster that has started this process cannot be read: {error}.") from None


def _connect(address: Address, processes: Processes, local_devices: list[int] | None) -> None:
    """Starts `jax.distributed`. Process 0 listens on the given address alone."""
    import jax

    jax.config.update("jax_enable_preemption_service", False)  # it would catch SIGTERM before `runs.signals`
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    jax.distributed.initialize(
        coordinator_address=str(address),
        num_processes=processes.count,
        process_id=processes.index,
        local_device_ids=local_devices,
        cluster_detection_method="deactivate",
        coordinator_bind_address=str(address),
        heartbeat_timeout_seconds=_HEARTBEAT_SECONDS,
        shutdown_timeout_seconds=round(PATIENCE),
    )


def _explain_abort(processes: Processes) -> Any:
    """Adds the line that matters where process 0 is gone at once: jax then prints a stack trace, and aborts the others.

    Python's own handlers of signals do not run any more. Keep the result as long as it is to work.
    """
    if processes.is_first or os.name != "posix":
        return None

    @ctypes.CFUNCTYPE(None, ctypes.c_int)
    def explain(number: int) -> None:
        _print(f"{processes.name(0)} has ended, and the others cannot go on without it.")
        _exit(MachineError.exit_code)

    ctypes.CDLL(None).signal(signal.SIGABRT, explain)
    return explain


class _Watch:
    """A thread in each process that looks every few seconds whether the others are there and well.

    jax waits without a limit for one that hangs, and ends with a stack trace where its coordinator is gone. The watch
    ends this process before, with a line that names the other one.
    """

    def __init__(self, processes: Processes):
        self._processes = processes
        self._words: dict[str, Any] | None = None  # this process's last ones
        self._wakes = threading.Event()
        self._explains = _explain_abort(processes)
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def leave_together(self) -> None:
        """Waits until all processes are at their end."""
        import jax

        self._say({"code": 0, "error": None})
        jax.distributed.shutdown()

    def leave_alone(self, code: int, error: str) -> None:
        """Tells the others why this process ends, so that they end too."""
        self._say({"code": code, "error": error})
        if self._processes.is_first:
            time.sleep(_LAST_SECONDS)
        atexit.register(_exit, code)  # at its own end, jax would wait for the others

    def _say(self, words: dict[str, Any]) -> None:
        """Gives the others this process's last words, and waits until they have read them."""
        self._words = words
        self._wakes.set()
        self._thread.join(2 * PATIENCE)

    def wait_for_the_reason(self) -> None:
        """Gives the watch time to end this process, where the reason of an error is that another one was lost."""
        self._thread.join(PATIENCE + 2 * _ROUND_SECONDS)

    def _look(self) -> None:
        try:
            while not self._is_over():
                self._wakes.wait(_ROUND_SECONDS)
        except MachineError as error:
            self._end(error.exit_code, str(error))

    def _is_over(self) -> bool:
        """One round. Gives whether all end, or this one because of an error. Raises MachineError if one is lost."""
        processes = self._processes
        self._require_first()
        everyone = processes.exchange(self._words, PATIENCE, "watch")
        failed = [index for index, words in enumerate(everyone) if words and words["error"]]
        if failed and self._words is None:
            index = failed[0]
            self._end(everyone[index]["code"], f"{processes.name(index)} has ended: {everyone[index]['error']}")
        return bool(failed) or all(everyone)

    def _require_first(self) -> None:
        """Raises MachineError if process 0 is lost. To wait has a limit, and to give something has none."""
        processes, number = self._processes, self._processes._rounds.get("watch", 0)
        place = f"cnn_jax/watch/{number}/begins"
        if processes.is_first:
            _set(place, True)
            return
        try:
            _get(place, PATIENCE)
        except TimeoutError:
            raise processes._lost(0, PATIENCE) from None

    def _end(self, code: int, text: str) -> NoReturn:
        """Ends this process at once: its main thread waits within jax."""
        _print(text)
        if self._processes.is_first:
            time.sleep(_LAST_SECONDS)
        _exit(code)


def _print(error: str) -> None:
    print(f"{program.name()}: {printable(error)}", file=sys.stderr, flush=True)


def _exit(code: int) -> NoReturn:
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
