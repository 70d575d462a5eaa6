"""A benchmark's record for people: the same tables on the console and on a page."""

from collections.abc import Mapping, Sequence
from typing import Any

from cnn_jax.report import figures
from cnn_jax.report.page import Figure, Page, Section, Table, render

Record = Mapping[str, Any]


def speeds(record: Record) -> Table:
    """Every case with its time, rates, compile time and memory."""
    rows = [
        [
            case["what"],
            case["dtype"],
            f"{case['batch_size']:,}",
            duration(case["seconds"]["median"]),
            f"{duration(case['seconds']['low'])} to {duration(case['seconds']['high'])}",
            f"{case['seconds']['repeats']}",
            f"{case['images_per_second']:,.0f}",
            f"{case['multiply_adds_per_second'] / 1e9:,.1f}",
            "-" if case["compile_seconds"] is None else f"{case['compile_seconds']:.1f}",
            f"{case['peak_memory_bytes'] / 2**20:,.0f}",
        ]
        for case in record["measurements"]
    ]
    headings = ["what", "dtype", "batch", "median", "middle half", "n", "images/s"]
    return Table("How fast", [*headings, "G mult-adds/s", "compile s", "peak MiB so far"], rows)


def against_baseline(record: Record) -> Table:
    """The cases that the baseline has too."""
    rows = [
        [
            row["what"],
            row["dtype"],
            f"{row['batch_size']:,}",
            f"{row['images_per_second']:,.0f}",
            f"{row['baseline_images_per_second']:,.0f}",
            f"{row['ratio']:.2f}",
            "slower" if row["slower"] else "holds",
        ]
        for row in record["comparison"]["rows"]
    ]
    headings = ["what", "dtype", "batch", "images/s now", "images/s in the baseline", "ratio", "verdict"]
    return Table(f"Against {record['comparison']['device']}", headings, rows)


def roofline(part: Record) -> Table:
    """The layers of a training step under the device's roofs."""
    rows = [
        [
            place["name"],
            f"{place['multiply_adds'] / 1e6:,.1f}",
            f"{place['moved_bytes'] / 1e6:,.2f}",
            f"{place['multiply_adds_per_byte']:,.1f}",
            duration(place["seconds"]),
            f"{place['multiply_adds_per_second'] / 1e9:,.1f}",
            place["bound"],
            f"{place['share']:.0%}",
            place["verdict"],
        ]
        for place in (*part["layers"], part["step"])
    ]
    headings = ["layer", "M mult-adds", "MB moved", "mult-adds/byte", "time", "G mult-adds/s", "bound", "reached"]
    return Table(f"Training at batch {part['batch_size']} in {part['dtype']}", [*headings, "in words"], rows)


def profile(record: Record) -> Table:
    """The operations that took the most time."""
    rows = [
        [
            found["name"],
            f"{found['calls']:,}",
            duration(found["seconds"]),
            f"{found['share']:.1%}",
            found["source"],
        ]
        for found in record["profile"]["operations"]
    ]
    title = f"The ten most expensive operations of {record['profile']['steps']} training steps"
    return Table(title, ["operation", "calls", "own time", "share", "made from"], rows)


def as_text(table: Table) -> str:
    """A table as lines of aligned columns."""
    lines = [list(table.headings), *map(list, table.rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(table.headings))]
    aligned = ("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines)
    return "\n".join([table.title, "", *aligned])


def roofs_line(part: Record) -> str:
    """The device's roofs in a sentence."""
    products, bandwidth = part["roofs"]["multiply_adds_per_second"], part["roofs"]["bytes_per_second"]
    return (
        f"Measured here: {products / 1e9:,.1f} billion multiply-adds a second in products of large {part['dtype']} "
        f"matrices, and {bandwidth / 1e9:,.1f} GB a second read and written in copying."
    )


def operations_line(part: Record) -> str:
    """How far our count of operations is from XLA's."""
    layers = [layer for layer in part["layers"] if layer["operations_by_xla"]]
    if not layers:
        return "XLA did not count operations here."
    off, name = max((abs(layer["operations"] / layer["operations_by_xla"] - 1), layer["name"]) for layer in layers)
    return f"XLA counts the same operations in the layers' forward passes, within {off:.2%} ({name})."


def page(record: Record) -> str:
    """The whole record as a page."""
    config, machine = record["config"], record["machine"]
    sections = [Section("How fast", [_explanation(record), speeds(record)])]
    if "comparison" in record:
        tolerance = record["comparison"]["tolerance"]
        words = f"Ratios above 1 are faster than the baseline; below {1 - tolerance:.2f} they count as slower."
        sections.append(Section("Against the baseline", [words, against_baseline(record)]))
    for part in record["rooflines"]:
        sections.append(Section(f"How fast it could be, in {part['dtype']}", _roofline_blocks(part)))
    if "profile" in record:
        sections.append(Section("Where the time goes", [_PROFILE_WORDS, profile(record)]))
    facts = [[name, str(value)] for name, value in _facts(record)]
    sections.append(Section("Measured on", [Table("Machine, versions and flags", ["", ""], facts)]))
    title = f"Benchmark of {config['experiment']}"
    lead = f"{config['model']} on images of {config['dataset']}, {record['parameters']:,} parameters, on "
    return render(Page(title, f"{lead}{machine['device']}.", sections, f"Made by {' '.join(machine['command_line'])}."))


_PROFILE_WORDS = (
    "XLA's own operations in a trace of training steps, each without the operations that it calls, added up over all "
    "threads. The trace itself is in the folder beside this page, for xprof or TensorBoard."
)


def duration(seconds: float) -> str:
    """Seconds with three digits and a unit: `9.83 ms`."""
    for factor, unit in ((1, "s"), (1e3, "ms"), (1e6, "µs")):
        if seconds * factor >= 1:
            return f"{seconds * factor:,.3g} {unit}" if seconds * factor < 1000 else f"{seconds * factor:,.0f} {unit}"
    return f"{seconds * 1e9:.3g} ns"


def _explanation(record: Record) -> str:
    settings = record["settings"]
    return (
        "Compiled programs on random images, warm, waited for until their results are there. A training step is one "
        "of a compiled loop, as training runs it; an epoch includes drawing its order; inference scores "
        f"{record['settings']['test_examples']:,} images. Medians of up to {settings['repeats']} repeats, fewer where "
        f"they would take over {settings['seconds']:g} s; the middle half of them lies in the range given. "
        "Multiply-adds are those of the definitions of convolution and matrix product, whatever the program does."
    )


def _roofline_blocks(part: Record) -> list[str | Table | Figure]:
    title = f"Roofline of the training step at batch {part['batch_size']} in {part['dtype']}"
    drawing = figures.roofline(title, part["roofs"], [*part["layers"], part["step"]])
    caption = (
        "Each mark is a layer, forward and backward, by itself; the training step is the whole. The line is what this "
        "device could do at best: left of the dots as fast as memory delivers, right of them as fast as it multiplies."
    )
    return [f"{roofs_line(part)} {operations_line(part)}", Figure(drawing, caption), roofline(part)]


def _facts(record: Record) -> Sequence[tuple[str, object]]:
    machine = record["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    return [
        ("device", machine["device"]),
        ("cores", machine["cores"]),
        ("system", machine["system"]),
        ("python", machine["python"]),
        ("versions", versions),
        ("compiler options", ", ".join(f"{k}={v}" for k, v in record["compiler_options"].items()) or "none"),
        ("XLA_FLAGS", machine["xla_flags"] or "none"),
        ("commit", machine["git_commit"] or "not known"),
    ]
