"""A benchmark's record as rows for other documents: a Markdown table to publish, and a CSV file to compute with."""

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

from cnn_jax.report.format import MISSING, duration_estimate, interval
from cnn_jax.studies.benchmark.cases import INFERENCE, TRAINING_STEP

Record = Mapping[str, Any]


def as_markdown(record: Record) -> str:
    """A table with a row for each batch size and dtype: speeds with 95 % intervals, and what they were measured on."""
    target, measured = (
        record.get("target"),
        {(m["dtype"], m["batch_size"], m["what"]): m for m in record["measurements"]},
    )
    headings = ["model", "batch size", "dtype", "training, images/s", "inference, images/s"]
    headings += [f"time to {100 * target['accuracy']:g} %"] if target else []
    headings += ["device", "versions", "date", "record"]
    config, machine = record["config"], record["machine"]
    commit, dash, state = (machine["git_commit"] or "").partition("-")  # `-dirty` where files were changed
    versions = ", ".join(f"{name} {machine['versions'][name]}" for name in ("cnn_jax", "jax"))
    versions += f", {commit[:12]}{dash}{state}" if commit else ""
    ends = [machine["device"], versions, record["conditions"]["before"]["date"][:10], record["sha256"][:12]]
    lines = [headings, [":--" if name not in _NUMBERS else "--:" for name in headings]]
    for dtype, batch_size in dict.fromkeys((m["dtype"], m["batch_size"]) for m in record["measurements"]):
        name = f"{config['experiment']}, {record['parameters']:,} parameters"
        speeds = [_speed(measured[dtype, batch_size, what]) for what in (TRAINING_STEP, INFERENCE)]
        times = [_time(target, is_own=(dtype, batch_size) == (target["dtype"], target["batch_size"]))] if target else []
        lines.append([name, f"{batch_size:,}", dtype, *speeds, *times, *ends])
    return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |" for line in lines)


_NUMBERS = ("batch size", "training, images/s", "inference, images/s")


def as_csv(record: Record) -> str:
    """A line for each case; seconds of one part of it."""
    machine, file = record["machine"], io.StringIO(newline="")
    ends = {
        "device": machine["device"],
        **{name: machine["versions"][name] for name in ("cnn_jax", "jax")},
        "git_commit": machine["git_commit"],
        "date": record["conditions"]["before"]["date"],
        "sha256": record["sha256"],
    }
    lines = [_line(measurement) for measurement in record["measurements"]]
    if target := record.get("target"):
        lines += [
            {
                "what": f"training to {100 * target['accuracy']:g} %, seed {seed['seed']}",
                "dtype": target["dtype"],
                "batch_size": target["batch_size"],
                "seconds": seed["seconds"],
            }
            for seed in target["seeds"]
        ]
    writer = csv.DictWriter(file, [*lines[0], *ends], restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(line | ends for line in lines)
    return file.getvalue()


def images_per_second_interval(measurement: Mapping[str, Any]) -> Sequence[float] | None:
    """The 95 % interval of the speed, from that of the median time."""
    seconds = measurement["seconds"]["interval"]
    return seconds and [measurement["images"] / end for end in reversed(seconds)]


def _line(measurement: Mapping[str, Any]) -> dict[str, Any]:
    seconds = measurement["seconds"]
    low, high = seconds["interval"] or (None, None)
    return {
        **{name: measurement[name] for name in ("what", "dtype", "batch_size", "images_per_second")},
        **{"seconds": seconds["median"], "seconds_low": low, "seconds_high": high, "rounds": len(seconds["rounds"])},
        **{name: measurement[name] for name in ("compile_seconds", "peak_memory_bytes", "multiply_adds_per_second")},
    }


def _speed(measurement: Mapping[str, Any]) -> str:
    bounds = images_per_second_interval(measurement)
    around = f" ({interval(bounds, '{:,.0f}'.format)})" if bounds else ""
    return f"{measurement['images_per_second']:,.0f}{around}"


def _time(target: Mapping[str, Any], *, is_own: bool) -> str:
    """The mean time of all seeds; a dash where it was not measured, or where a seed did not get there."""
    return duration_estimate(target["seconds"]) if is_own and target["seconds"] else MISSING
