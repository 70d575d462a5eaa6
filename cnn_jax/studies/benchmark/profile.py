"""A profile of the training step: which of XLA's operations take most of the time, and which layer they belong to."""

import re
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import jax

from cnn_jax.plain_paths import linked

_MOST = 10
# `%fusion.3 = f32[64,10]{1,0} fusion(...), metadata={op_name="jit(chunk)/while/body/CNN/Dense_0/dot_general"}`
_HLO_LINE = re.compile(r'^\s*(?:ROOT )?%?(?P<name>[\w.-]+) = .*metadata=\{op_name="(?P<source>[^"]*)"', re.MULTILINE)
# Parts of a source that describe the structure of a program, not what it computes.
_TRANSFORMED = re.compile(r"(?:\w+\()+([^()]*)\)+")
_IS_STRUCTURE = re.compile(r"while|body|cond|closed_call|branch_.*|custom_vjp_call.*|platform_index.*|")


def most_expensive(call: Callable[[], object], folder: Path, hlo_text: str) -> list[dict[str, Any]]:
    """The ten of XLA's operations that take the most time in a call, longest first, as in the record.

    The trace of the call stays in `folder`, for xprof and TensorBoard. hlo_text: of the program that is called.

    source: the layer and the jax primitive that an operation comes from, empty if XLA does not know it. seconds: of all
    its calls, without the operations that it calls. share: of the seconds of all operations.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with linked(folder) as plain, jax.profiler.trace(str(plain)):
        jax.block_until_ready(call())
    sources = {match["name"]: source_of(match["source"]) for match in _HLO_LINE.finditer(hlo_text)}
    seconds: dict[str, list[float]] = defaultdict(list)
    newest = max(folder.rglob("*.xplane.pb"), key=lambda path: path.stat().st_mtime)
    with warnings.catch_warnings():
        # On Python 3.13 jaxlib's reader warns of a type of its own. Where warnings are errors, that ends the process.
        warnings.simplefilter("ignore", DeprecationWarning)
        for plane in jax.profiler.ProfileData.from_serialized_xspace(newest.read_bytes()).planes:
            for line in plane.lines:
                events = [(dict(event.stats).get("hlo_op"), event.start_ns, event.end_ns) for event in line.events]
                for name, own in own_seconds([(str(name), start, end) for name, start, end in events if name]):
                    seconds[name].append(own)
    totals = {name: sum(calls) for name, calls in seconds.items()}
    longest, total = sorted(totals, key=lambda name: -totals[name])[:_MOST], sum(totals.values())
    return [
        {
            "name": name,
            "source": sources.get(name, ""),
            "calls": len(seconds[name]),
            "seconds": totals[name],
            "share": totals[name] / total,
        }
        for name in longest
    ]


def source_of(op_name: str) -> str:
    """The part of the model that an operation comes from.

    For example `gradient of CNN/Conv_0/dot_general` for `jit(chunk)/while/body/transpose(jvp(CNN))/Conv_0/dot_general`.
    """
    parts = [_TRANSFORMED.sub(r"\1", part) for part in op_name.split("/")[1:] if not _IS_STRUCTURE.fullmatch(part)]
    return ("gradient of " if "transpose(" in op_name else "") + "/".join(parts)


def own_seconds(events: Iterable[tuple[str, float, float]]) -> list[tuple[str, float]]:
    """Each event's name and its seconds without the events inside it. events: name, start and end in ns."""
    ordered = sorted(events, key=lambda event: (event[1], -event[2]))
    own = [end - start for _, start, end in ordered]
    open_events: list[int] = []  # the events around the present one, by their indices
    for index, (_, start, end) in enumerate(ordered):
        while open_events and ordered[open_events[-1]][2] <= start:
            open_events.pop()
        if open_events:
            own[open_events[-1]] -= end - start
        open_events.append(index)
    return [(name, max(seconds, 0.0) / 1e9) for (name, _, _), seconds in zip(ordered, own, strict=True)]
