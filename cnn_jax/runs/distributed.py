"""Several processes become one training, and end together. `jax.distributed` connects them."""

import atexit
import contextlib
import ctypes
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any, NoReturn

from cnn_jax import program
from cnn_jax.errors import DivergedError, InputError, Interrupted, MachineError, ProjectError, printable
from cnn_jax.runs.processes import ALONE, PATIENCE, Processes, get, put
from cnn_jax.runs.rendezvous import Address, meet

JOIN_SECONDS = 60.0
_ROUND_SECONDS = 2.0  # between two looks of a watch
_HEARTBEAT_SECONDS = 60  # jax then ends the process, with a stack trace, where the watch itself cannot
_LAST_SECONDS = 3.0  # process 0 ends after the others, which jax would end with a stack trace


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
    if num_processes == 1:
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
        processes.require_in_time()
        self._require_first()
        everyone = processes.exchange(self._words, PATIENCE, "watch")
        failed = [index for index, words in enumerate(everyone) if words and words["error"]]
        if failed and self._words is None:
            index = failed[0]
            self._end(everyone[index]["code"], f"{processes.name(index)} has ended: {everyone[index]['error']}")
        return bool(failed) or all(everyone)

    def _require_first(self) -> None:
        """Raises MachineError if process 0 is lost. To wait has a limit, and to give something has none."""
        processes, place = self._processes, self._processes.place("watch") + "/begins"
        if processes.is_first:
            put(place, True)
            return
        try:
            get(place, PATIENCE)
        except TimeoutError:
            raise processes.lost(0) from None

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
