"""`benchmark.json`: what a benchmark has measured, and reading it again, also what earlier versions wrote."""

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax

from cnn_jax import compilation
from cnn_jax.config import Config, config_from_mapping
from cnn_jax.errors import InputError
from cnn_jax.files import read_json
from cnn_jax.report.statistics import ratio_of_samples
from cnn_jax.studies.benchmark.cases import ON_ONE_DEVICE, TRAINING_STEP, BenchmarkModel, Measurement
from cnn_jax.studies.benchmark.layers import operations, operations_by_xla, timed_layers
from cnn_jax.studies.benchmark.roofline import DevicePeaks, Work, compare
from cnn_jax.studies.benchmark.timing import TimeBudget

FORMAT = 2
FILE = "benchmark.json"
LARGEST_FILE = 1 << 22  # bytes; a record has about 20,000
MOST_ROUNDS = 1000  # of a case; each is compared with each of another record
_LARGEST = 1e30  # of a stored number
CASE = ("what", "dtype", "batch_size")  # what two measurements must have in common to be compared

Case = tuple[Any, ...]
Seconds = tuple[float, ...]


@dataclass(frozen=True)
class Measured:
    """A case of a record. rounds, reference: seconds in each round; none in records of format 1."""

    images_per_second: float
    rounds: Seconds
    reference: Seconds


@dataclass(frozen=True)
class Target:
    """The time to an accuracy. seconds, reference: by seed, of those that reached it."""

    accuracy: float
    seconds: Mapping[int, float]
    reference: Mapping[int, float]


@dataclass(frozen=True)
class Record:
    """A benchmark to compare. source: names it in messages. facts: of machine, settings and state, by their names."""

    source: str
    config: Config
    device: str
    facts: Mapping[str, Any]
    cases: Mapping[Case, Measured]
    target: Target | None

    @property
    def devices(self) -> int | None:
        """How many there were, as `machine.device` counts them; None where the text says no number."""
        number = self.device.partition(" x ")[0]
        return int(number) if number.isdecimal() else None


def create(
    model: BenchmarkModel, budget: TimeBudget, machine: dict, conditions: dict, measurements: Sequence[Measurement]
) -> dict[str, Any]:
    """The record of these measurements. Rooflines, target, profile and comparison are added to it.

    conditions: before and after the rounds, and the share of the cores that others used in them.
    """
    return {
        "format": FORMAT,
        "config": model.config.as_mapping(),
        "machine": machine,
        "compiler_options": compilation.compiler_options(small_loops=True),
        "settings": vars(budget) | {"train_examples": len(model.train), "test_examples": len(model.test)},
        "conditions": conditions,
        "parameters": sum(layer.parameters for layer in model.layers),
        "measurements": list(measurements),
        "scaling": scaling(measurements, len(jax.devices())),
    }


def scaling(measurements: Iterable[Measurement], devices: int) -> list[dict[str, Any]]:
    """How much faster several devices train than one of them does, on the same batch.

    efficiency: that divided by the number of devices, with its interval; 1 means that no device waits.
    """
    found = {_case(measurement): measurement["seconds"]["rounds"] for measurement in measurements}
    rows = []
    for (what, dtype, batch_size), alone in found.items():
        if what == ON_ONE_DEVICE:
            ratio, interval = ratio_of_samples(alone, found[TRAINING_STEP, dtype, batch_size])
            efficiency = {"efficiency": ratio / devices, "interval": interval and [end / devices for end in interval]}
            rows.append({"dtype": dtype, "batch_size": batch_size, "devices": devices, "ratio": ratio, **efficiency})
    return rows


def roofline(model: BenchmarkModel, peaks: DevicePeaks, layers: Sequence[Work], step: Measurement) -> dict[str, Any]:
    """The layers and the whole training step, against the devices' peaks. The step moves the bytes of all layers."""
    batch_size = model.config.batch_size
    counts = [
        {"operations": operations(layer, batch_size), "operations_by_xla": operations_by_xla(layer, batch_size)}
        for layer, _ in timed_layers(model.layers)
    ]
    moved_bytes = sum(layer.moved_bytes for layer in layers)
    whole = Work("training step", step["multiply_adds"], moved_bytes, step["seconds"]["median"])
    return {
        "dtype": model.dtype,
        "batch_size": batch_size,
        "devices": len(jax.devices()),
        "roofs": dataclasses.asdict(peaks),
        "layers": [compare(layer, peaks) | count for layer, count in zip(layers, counts, strict=True)],
        "step": compare(whole, peaks),
    }


def sealed(content: Mapping[str, Any]) -> dict[str, Any]:
    """The record with the hash of all that it says, by which a published number is found again."""
    return {**content, "sha256": _hash(content)}


def read(path: Path, flag: str) -> Record:
    """Reads a stored benchmark, of this format or an earlier one; of a folder its `benchmark.json`.

    Raises InputError, which names the flag, when the file is not one, is damaged, was changed, or is of a later format.
    """
    source = f"--{flag}={path}"
    try:
        content = read_json(path / FILE if path.is_dir() else path, LARGEST_FILE)
        number = content["format"]
        if number not in range(1, FORMAT + 1):
            raise InputError(f"{source}: has format {number!r}; this program reads 1 to {FORMAT}. Update it.")
        if number > 1 and content.get("sha256") != _hash(content):
            raise InputError(f"{source}: was changed after it was measured: its hash is another. Measure again.")
        return of(content, str(path), source)
    except OSError as error:
        raise InputError(f"{source}: cannot be read: {error.strerror}.") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{source}: not a benchmark.json, or damaged ({type(error).__name__}: {error}).") from None


def of(content: Any, source: str = "this benchmark", subject: str = "") -> Record:
    """The record to compare. source, subject: name it in messages, and in front of an error.

    Raises InputError, ValueError, KeyError, TypeError or AttributeError where it is damaged.
    """
    number = content["format"]
    return Record(
        source,
        config_from_mapping(content["config"], subject),
        str(content["machine"]["device"]),
        _facts(content),
        {_case(measurement): _measured(measurement, number) for measurement in content["measurements"]},
        _target(content["target"]) if content.get("target") else None,
    )


def _hash(content: Mapping[str, Any]) -> str:
    rest = {name: value for name, value in content.items() if name != "sha256"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True, allow_nan=False).encode()).hexdigest()


def _facts(content: Mapping[str, Any]) -> dict[str, Any]:
    """What two records may differ in beside what they measured, by names such as `versions.jax`."""
    machine = {name: value for name, value in content["machine"].items() if name != "command_line"}
    parts = machine | {"benchmark": content["settings"], "conditions": content.get("conditions") or {}}
    return dict(_flat("", parts | {"compiler_options": content.get("compiler_options")}))


def _flat(prefix: str, values: Mapping[str, Any]) -> Iterable[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(f"{prefix}{name}.", value)
        else:
            yield f"{prefix}{name}", value


def _measured(measurement: Measurement, number: int) -> Measured:
    """A case. Its numbers are divided by, so that none but positive ones will do."""
    speed = _positive("images_per_second", measurement["images_per_second"])
    if number == 1:
        return Measured(speed, (), ())
    rounds = _all_positive("rounds", measurement["seconds"]["rounds"])
    reference = _all_positive("reference_seconds", measurement["reference_seconds"])
    if not 1 <= len(rounds) == len(reference) <= MOST_ROUNDS:
        raise ValueError(f"rounds: between 1 and {MOST_ROUNDS}, each with a reference, are expected")
    return Measured(speed, rounds, reference)


def _target(values: Mapping[str, Any]) -> Target:
    reached = [seed for seed in values["seeds"] if seed["seconds"] is not None]
    seconds = {int(one["seed"]): _positive("seconds", one["seconds"]) for one in reached}
    reference = {int(one["seed"]): _positive("reference_seconds", one["reference_seconds"]) for one in reached}
    return Target(_positive("accuracy", values["accuracy"]), seconds, reference)


def _all_positive(name: str, values: Sequence[Any]) -> Seconds:
    return tuple(_positive(name, value) for value in values)


def _positive(name: str, value: Any) -> float:
    """A number that can be divided by, and by which others can be divided."""
    if type(value) not in (int, float) or not 1 / _LARGEST < value < _LARGEST:
        raise ValueError(f"{name}: not a positive number, or too large or small")
    return float(value)


def _case(measurement: Measurement) -> Case:
    return tuple(measurement[name] for name in CASE)
