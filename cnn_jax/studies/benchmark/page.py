"""A benchmark's record for people: the same tables on the console and on a page."""

from collections.abc import Iterable, Mapping
from typing import Any

from markupsafe import Markup
from matplotlib.axes import Axes

from cnn_jax import program
from cnn_jax.report import figures
from cnn_jax.report.figures import INK
from cnn_jax.report.format import MISSING, duration, interval, percent
from cnn_jax.report.page import Block, Figure, Page, Section, render
from cnn_jax.report.tables import Table, machine_table

Record = Mapping[str, Any]


def page(record: Record) -> str:
    """The whole record as a page."""
    config, machine = record["config"], record["machine"]
    sections = [Section("Speed", [*_speed_words(record), speed_table(record)])]
    if "comparison" in record:
        sections.append(Section("Comparison with the baseline", [_baseline_words(record), baseline_table(record)]))
    sections += [Section(f"Roofline in {part['dtype']}", _roofline_blocks(part)) for part in record["rooflines"]]
    if "profile" in record:
        sections.append(Section("Profile", [_PROFILE_WORDS, profile_table(record)]))
    options = ", ".join(f"{name}={value}" for name, value in record["compiler_options"].items())
    sections.append(Section("Machine", [machine_table([machine], [["compiler options", options or "none"]])]))
    lead = (
        f"The speed of {config['model']['name']} ({record['parameters']:,} parameters) on images of "
        f"{config['dataset']['name']}, measured on {machine['device']}."
    )
    footer = f"Made by {program.name()} {' '.join(machine['command_line'])}."
    return render(Page(f"Benchmark of {config['experiment']}", lead, sections, footer))


def tables(record: Record) -> Iterable[Table]:
    """All tables of measured numbers, in the order of the page."""
    yield speed_table(record)
    if "comparison" in record:
        yield baseline_table(record)
    yield from map(roofline_table, record["rooflines"])
    if "profile" in record:
        yield profile_table(record)


def speed_table(record: Record) -> Table:
    """Every case with its time, rates, compile time and memory."""
    headings = ["case", "dtype", "batch size", "median time", "25th to 75th percentile", "repeats", "images/s"]
    headings += ["10⁹ multiply-adds/s", "compile time", "process peak memory"]
    return Table("Time, speed and memory of each case", headings, [_speed_row(c) for c in record["measurements"]])


def _speed_row(case: Record) -> list[str]:
    seconds, compile_seconds = case["seconds"], case["compile_seconds"]
    return [
        case["what"],
        case["dtype"],
        f"{case['batch_size']:,}",
        duration(seconds["median"]),
        interval((seconds["low"], seconds["high"]), duration),
        f"{seconds['repeats']}",
        f"{case['images_per_second']:,.0f}",
        _billions(case["multiply_adds_per_second"]),
        MISSING if compile_seconds is None else duration(compile_seconds),
        MISSING if case["peak_memory_bytes"] is None else f"{case['peak_memory_bytes'] / 2**20:,.0f} MiB",
    ]


def _speed_words(record: Record) -> list[str]:
    settings = record["settings"]
    cases = (
        "Each case is a compiled program on random images. It is called once before it is timed, and a call is timed "
        "until its results are computed. A training step is one step of the compiled loop that training runs. A "
        f"training epoch goes once through {settings['train_examples']:,} images and includes their "
        f"shuffling. Inference computes the logits of {settings['test_examples']:,} images."
    )
    columns = (
        f"Times are medians of {settings['repeats']} repeats, or of fewer where these would take more than "
        f"{settings['seconds']:g} s. Multiply-adds follow from the definitions of convolution and matrix product, "
        "whatever operations the program uses. Process peak memory is the most memory in use from the start of the "
        "process to the end of the case; on a GPU or TPU it is the device's memory."
    )
    return [cases, columns]


def baseline_table(record: Record) -> Table:
    """The cases that are in the baseline too."""
    rows = [
        [
            row["what"],
            row["dtype"],
            f"{row['batch_size']:,}",
            f"{row['images_per_second']:,.0f}",
            f"{row['baseline_images_per_second']:,.0f}",
            f"{row['ratio']:.2f}",
            "slower" if row["slower"] else "not slower",
        ]
        for row in record["comparison"]["rows"]
    ]
    headings = ["case", "dtype", "batch size", "images/s now", "images/s in the baseline", "ratio", "verdict"]
    return Table(f"Compared with the baseline, which was measured on {record['comparison']['device']}", headings, rows)


def _baseline_words(record: Record) -> str:
    return (
        "The ratio is the speed now divided by the speed in the baseline: above 1 is faster. A case counts as slower "
        f"if its ratio is below {1 - record['comparison']['tolerance']:.2f}."
    )


def roofline_table(part: Record) -> Table:
    """The layers of a training step, and the whole step, compared with the device's peaks."""
    rows = [
        [
            work["name"],
            f"{work['multiply_adds'] / 1e6:,.1f}",
            f"{work['moved_bytes'] / 1e6:,.2f}",
            f"{work['multiply_adds_per_byte']:,.1f}",
            duration(work["seconds"]),
            _billions(work["multiply_adds_per_second"]),
            work["bound"],
            percent(work["share"], 0),
            work["verdict"],
        ]
        for work in (*part["layers"], part["step"])
    ]
    headings = ["layer", "10⁶ multiply-adds", "MB moved", "multiply-adds per byte", "time", "10⁹ multiply-adds/s"]
    headings += ["bound", "share of bound", "verdict"]
    return Table(f"Training at batch size {part['batch_size']} in {part['dtype']}", headings, rows)


def roofline_words(part: Record) -> str:
    """The device's measured peaks, and how far our count of operations is from XLA's."""
    peaks, layers = part["roofs"], [layer for layer in part["layers"] if layer["operations_by_xla"]]
    words = (
        f"Peaks of this device, as measured: {_billions(peaks['multiply_adds_per_second'])} billion multiply-adds per "
        f"second in products of large {part['dtype']} matrices, and {_billions(peaks['bytes_per_second'])} GB per "
        "second, read and written together, in copies of a large array."
    )
    if not layers:
        return f"{words} XLA reports no count of operations here."
    off, name = max((abs(layer["operations"] / layer["operations_by_xla"] - 1), layer["name"]) for layer in layers)
    return (
        f"{words} XLA's own count of operations in the forward pass is within {percent(off)} of the count by "
        f"definition; the largest difference is in {name}."
    )


def _roofline_blocks(part: Record) -> list[Block]:
    caption = (
        "Each marker is one layer by itself, forward and backward pass; one marker is the whole training step. The "
        "solid line is the best that this device can do. Left of the dotted line the memory limits the speed; right of "
        "it the arithmetic does."
    )
    words = (
        "MB moved are the fewest megabytes that the pass must read and write: each array once in each pass. The bound "
        "is the peak that limits a layer, and its share is the part of this peak that the layer reaches."
    )
    return [roofline_words(part), Figure(_roofline_figure(part), caption), words, roofline_table(part)]


def _roofline_figure(part: Record) -> Markup:
    """The device's peaks as a line, and a marker for each piece of work that multiplies."""
    peak, bandwidth = part["roofs"]["multiply_adds_per_second"], part["roofs"]["bytes_per_second"]
    works = [work for work in (*part["layers"], part["step"]) if work["multiply_adds"]]
    ridge = peak / bandwidth
    intensities = [ridge, *(work["multiply_adds_per_byte"] for work in works)]
    low, high = min(intensities) / 4, max(intensities) * 4

    def paint(axes: Axes) -> None:
        axes.loglog([low, ridge, high], [low * bandwidth / 1e9, peak / 1e9, peak / 1e9], color=INK, linewidth=1.5)
        axes.axvline(ridge, color=INK, linewidth=0.8, linestyle=":")
        for index, work in enumerate(works):
            place = work["multiply_adds_per_byte"], work["multiply_adds_per_second"] / 1e9
            label = f"{work['name']}, {percent(work['share'], 0)} of its bound"
            axes.plot(*place, markersize=9, linestyle="none", label=label, **figures.line_style(index))
        axes.set(xlabel="multiply-adds per byte moved", ylabel="10⁹ multiply-adds/s")
        for axis in (axes.xaxis, axes.yaxis):
            figures.plain_logarithmic(axis)
        figures.grid(axes)
        axes.legend(loc="lower right", fontsize=10)

    title = f"Roofline of the training step at batch size {part['batch_size']} in {part['dtype']}"
    shares = "; ".join(f"{w['name']} reaches {percent(w['share'], 0)} of its {w['bound']} bound" for w in works)
    return figures.draw(f"{title}: {shares}.", paint)


_PROFILE_WORDS = (
    "These are XLA's own operations in a trace of training steps. The time of an operation is the sum over all "
    "threads, without the operations that it calls. The trace is in the folder profile beside this page, where xprof "
    "and TensorBoard can read it."
)


def profile_table(record: Record) -> Table:
    """The operations that took the most time."""
    rows = [
        [found["name"], f"{found['calls']:,}", duration(found["seconds"]), percent(found["share"], 1), found["source"]]
        for found in record["profile"]["operations"]
    ]
    title = f"The {len(rows)} operations of {record['profile']['steps']} training steps that took the most time"
    return Table(title, ["operation", "calls", "time", "share of all time", "layer and jax primitive"], rows)


def _billions(number: float) -> str:
    return f"{number / 1e9:,.1f}"


def as_text(table: Table) -> str:
    """A table as lines of aligned columns."""
    lines = [list(table.headings), *map(list, table.rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(table.headings))]
    aligned = ("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines)
    return "\n".join([table.title, "", *aligned])
