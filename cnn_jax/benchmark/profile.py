"""A profile of the training step as a table: which of XLA's operations take the time, and where they come from."""

import re
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax

_MOST = 10
# `%fusion.3 = f32[64,10]{1,0} fusion(...), metadata={op_name="jit(chunk)/while/body/CNN/Dense_0/dot_general"}`
_HLO_LINE = re.compile(r'^\s*(?:ROOT )?%?(?P<name>[\w.-]+) = .*metadata=\{op_name="(?P<source>[^"]*)"', re.MULTILINE)
# Parts of a source that say how a program is put together, not what it computes.
_TRANSFORMED = re.compile(r"(?:\w+\()+([^()]*)\)+")
_IS_STRUCTURE = re.compile(r"while|body|cond|closed_call|branch_.*|custom_vjp_call.*|platform_index.*|")


@dataclass(frozen=True)
class Operation:
    """One of XLA's operations over a trace. seconds: its own, without those that it calls. share: of all of them.

    source: the layer and primitive that it was made from, as far as XLA kept them.
    """

    name: str
    source: str
    calls: int
    seconds: float
    share: float


def trace(call: Callable[[], object], folder: Path) -> None:
    """Records a call for `xprof` and TensorBoard, and for `most_expensive`."""
    with jax.profiler.trace(str(folder)):
        jax.block_until_ready(call())


def most_expensive(folder: Path, hlo_text: str) -> list[Operation]:
    """The ten operations of a trace that took the most time, the longest first. hlo_text: the program's."""
    with warnings.catch_warnings():
        # On Python 3.13, jaxlib's reader warns of a type of its own. Where warnings are errors, it ends the process.
        warnings.simplefilter("ignore", DeprecationWarning)
        return _most_expensive(folder, hlo_text)


def _most_expensive(folder: Path, hlo_text: str) -> list[Operation]:
    sources = {match["name"]: source_of(match["source"]) for match in _HLO_LINE.finditer(hlo_text)}
    seconds: dict[str, float] = defaultdict(float)
    calls: dict[str, int] = defaultdict(int)
    newest = max(folder.rglob("*.xplane.pb"), key=lambda path: path.stat().st_mtime)
    for plane in jax.profiler.ProfileData.from_file(str(newest)).planes:
        for line in plane.lines:
            for name, own in own_seconds(_operations(line.events)):
                seconds[name] += own
                calls[name] += 1
    total = sum(seconds.values())
    longest = sorted(seconds, key=lambda name: -seconds[name])[:_MOST]
    return [Operation(n, sources.get(n, ""), calls[n], seconds[n], seconds[n] / total) for n in longest]


def source_of(op_name: str) -> str:
    """Where in the model an operation is from.

    `jit(chunk)/while/body/transpose(jvp(CNN))/Conv_0/dot_general` is `gradient of CNN/Conv_0/dot_general`.
    """
    parts = [_TRANSFORMED.sub(r"\1", part) for part in op_name.split("/")[1:] if not _IS_STRUCTURE.fullmatch(part)]
    return ("gradient of " if "transpose(" in op_name else "") + "/".join(parts)


def own_seconds(events: Iterable[tuple[str, float, float]]) -> Iterator[tuple[str, float]]:
    """Each event's name and its seconds without those of the events inside of it. events: name, start, end in ns."""
    open_events: list[list[Any]] = []  # name, end, own
    for name, start, end in sorted(events, key=lambda event: (event[1], -event[2])):
        while open_events and open_events[-1][1] <= start:
            yield _closed(open_events.pop())
        if open_events:
            open_events[-1][2] -= end - start
        open_events.append([name, end, end - start])
    while open_events:
        yield _closed(open_events.pop())


def _closed(event: list[Any]) -> tuple[str, float]:
    name, _, own = event
    return name, max(own, 0.0) / 1e9


def _operations(events: Iterable[Any]) -> Iterator[tuple[str, float, float]]:
    """Those events that are XLA's operations."""
    for event in events:
        for key, value in event.stats:
            if key == "hlo_op":
                yield str(value), event.start_ns, event.end_ns
                break
