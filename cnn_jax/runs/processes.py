"""The processes that run one training, on one machine or on many. Mostly there is one, and nothing of this happens.

What they have to agree on beside jax's arrays, a few words between two chunks, goes through the key-value store of
`jax.distributed`, where everything has a time limit: a process that does not answer is named.
"""

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from cnn_jax.errors import InputError, MachineError

PATIENCE = 12.0  # seconds without an answer until a process counts as lost
WITHOUT_HURRY = 3600.0  # seconds: compiling takes as long as it takes; meanwhile a watch looks whether all are there


@dataclass(frozen=True)
class Processes:
    """One process among those of a training. machines: the name of each one's machine."""

    index: int = 0
    machines: tuple[str, ...] = ("",)
    _rounds: dict[str, int] = field(default_factory=dict, compare=False)
    _deadlines: list[float] = field(default_factory=list, compare=False)

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
        place, before = self.place(topic), self.place(topic, back=2)
        self._rounds[topic] = self._rounds.get(topic, 0) + 1
        if not self.is_first:
            return self._given(place, value, patience)
        client().key_value_delete(before)  # which all have read: they have called again
        return self._gathered(place, value, patience)

    def place(self, topic: str, back: int = 0) -> str:
        """The key under which the next call of a topic meets, or one that was some calls before."""
        return f"cnn_jax/{topic}/{self._rounds.get(topic, 0) - back}"

    def _gathered(self, place: str, value: Any, patience: float) -> list[Any]:
        """Process 0: collects what the others give, and tells them."""
        values, deadline = [value], time.monotonic() + patience
        for index in range(1, self.count):
            try:
                values.append(get(f"{place}/{index}", deadline - time.monotonic()))
            except TimeoutError:
                put(f"{place}/all", {"lost": index})
                raise self.lost(index, patience) from None
        put(f"{place}/all", {"values": values})
        return values

    def _given(self, place: str, value: Any, patience: float) -> list[Any]:
        """Another process: gives its own, and waits for those of all."""
        try:
            put(f"{place}/{self.index}", value)
            found = get(f"{place}/all", patience + 1)
        except TimeoutError:
            found = {"lost": 0}
        if "lost" in found:
            raise self.lost(found["lost"], patience)
        return list(found["values"])

    def lost(self, index: int, patience: float = PATIENCE) -> MachineError:
        """The error of a process that does not answer."""
        return MachineError(f"{self.name(index)} has ended or hangs: it has not answered for {patience:g} s.")

    @contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        """A block of compiled steps, which should take so many seconds. The watch ends it where it takes far longer."""
        self._deadlines.append(time.monotonic() + PATIENCE + 10 * seconds)
        try:
            yield
        finally:
            self._deadlines.pop()

    def require_in_time(self) -> None:
        """Raises MachineError where a block of `within` takes far longer than it should."""
        if any(deadline < time.monotonic() for deadline in [*self._deadlines]):
            raise MachineError(
                f"Training steps have not ended in time on {self.name(self.index)}. Another process, the network "
                "between them, or this process hangs."
            )

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


def client() -> Any:
    """The client of `jax.distributed`."""
    from jax._src import distributed  # Orbax takes it from there too: jax has no public name for the key-value store

    return distributed.global_state.client


def put(key: str, value: Any) -> None:
    """Gives all processes a value. Raises TimeoutError if process 0 is gone; waits for it while it is stopped."""
    with _errors_as_timeout():
        client().key_value_set(key, json.dumps(value))


def get(key: str, seconds: float) -> Any:
    """The value of a key, as soon as it is there. Raises TimeoutError if it does not come in time."""
    with _errors_as_timeout():
        return json.loads(client().blocking_key_value_get(key, max(1, round(seconds * 1000))))


@contextmanager
def _errors_as_timeout() -> Iterator[None]:
    import jax

    try:
        yield
    except jax.errors.JaxRuntimeError:
        raise TimeoutError from None
