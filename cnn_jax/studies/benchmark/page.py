"""A benchmark's record for people: the same tables on the console and on a page."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from markupsafe import Markup
from matplotlib.axes import Axes

from cnn_jax import program
from cnn_jax.report import figures
from cnn_jax.report.figures import INK
from cnn_jax.report.format import MISSING, counted, duration, duration_estimate, interval, listed, percent
from cnn_jax.report.page import Block, Figure, Page, Section, render
from cnn_jax.report.tables import Table
from cnn_jax.studies.benchmark import comparison_page
from cnn_jax.studies.benchmark.comparison import BUSY
from cnn_jax.studies.benchmark.rows import images_per_second_interval

Record = Mapping[str, Any]


def page(record: Record) -> str:
    """The whole record as a page."""
    config, machine = record["config"], record["machine"]
    sections = [Section("Speed", [*_speed_words(record), *map(speed_table, *_by_variant(record))])]
    if record["scaling"]:
        sections.append(Section("Several devices", [_SCALING_WORDS, scaling_table(record)]))
    if "target" in record:
        sections.append(Section(_target_title(record), [*target_words(record), target_table(record)]))
    if "comparison" in record:
        sections += comparison_page.sections(record["comparison"])
    sections.append(
        Section("Compilation, memory and arithmetic", [_COSTS_WORDS, *map(costs_table, *_by_variant(record))])
    )
    sections += [Section(f"Roofline in {part['dtype']}", _roofline_blocks(part)) for part in record["rooflines"]]
    if "profile" in record:
        sections.append(Section("Profile", [_PROFILE_WORDS, profile_table(record), *_profile_sources(record)]))
    sections.append(Section("Machine", [*_machine_words(record), *_state_words(record), state_table(record)]))
    lead = (
        f"The speed of {config['model']['name']} ({record['parameters']:,} parameters) on images of "
        f"{config['dataset']['name']}, measured on {machine['device']}."
    )
    footer = f"Made by {program.name()} {' '.join(machine['command_line'])}. SHA-256 of the record: {record['sha256']}."
    return render(Page(f"Benchmark of {config['experiment']}", lead, sections, footer))


def tables(record: Record) -> Iterator[Table]:
    """The tables of the console: those of the page, but for how the machine was."""
    for measurements, title in zip(*_by_variant(record), strict=True):
        yield speed_table(measurements, title)
        yield costs_table(measurements, title)
    if record["scaling"]:
        yield scaling_table(record)
    if "target" in record:
        yield target_table(record)
    if "comparison" in record:
        yield from comparison_page.tables(record["comparison"])
    for part in record["rooflines"]:
        yield from (bounds_table(part), work_table(part))
    if "profile" in record:
        yield profile_table(record)


def sentences(record: Record) -> Iterator[str]:
    """What the console says below the tables."""
    if "target" in record:
        yield from target_words(record)
    yield from map(roofline_words, record["rooflines"])
    if "comparison" in record:
        yield from comparison_page.sentences(record["comparison"])  # which also say how busy the machine was
    else:
        yield from _state_words(record)


def _by_variant(record: Record) -> tuple[list[list[Record]], list[str]]:
    """The measurements of each batch size and dtype, and a title for each: a phone has no room for more columns."""
    found: dict[str, list[Record]] = {}
    for case in record["measurements"]:
        found.setdefault(f"batch size {case['batch_size']:,} in {case['dtype']}", []).append(case)
    return [*found.values()], [*found]


def speed_table(measurements: Sequence[Record], title: str) -> Table:
    """The time and the speed of each case of one batch size and dtype."""
    rows = [
        [
            case["what"],
            duration(case["seconds"]["median"]),
            f"{case['images_per_second']:,.0f}",
            interval(images_per_second_interval(case), "{:,.0f}".format),
        ]
        for case in measurements
    ]
    return Table(f"Speed at {title}", ["case", "time", "images/s", "95 % interval"], rows)


def costs_table(measurements: Sequence[Record], title: str) -> Table:
    """What each case of one batch size and dtype costs beside its time."""
    rows = [
        [
            case["what"],
            MISSING if case["compile_seconds"] is None else duration(case["compile_seconds"]),
            MISSING if case["peak_memory_bytes"] is None else f"{case['peak_memory_bytes'] / 2**20:,.0f} MiB",
            _billions(case["multiply_adds_per_second"]),
        ]
        for case in measurements
    ]
    headings = ["case", "compile time", "process peak memory", "10⁹ multiply-adds/s"]
    return Table(f"Compilation, memory and arithmetic at {title}", headings, rows)


def _speed_words(record: Record) -> list[str]:
    settings = record["settings"]
    cases = (
        "Each case is a compiled program on random images. It is called once before it is timed, and a call is timed "
        "until its results are computed. A training step is one step of the compiled loop that training runs. A "
        f"training epoch goes once through {settings['train_examples']:,} images and includes their "
        f"shuffling. Inference computes the logits of {settings['test_examples']:,} images."
    )
    columns = (
        f"Times are medians of {settings['repeats']} rounds, or of fewer where these would take more than "
        f"{settings['seconds']:g} s. In a round each case has its turn once, so that a slow minute of the machine "
        "slows all of them. The interval is that of the median speed; it assumes no distribution and needs six rounds. "
        "Where there is a dash, measure with more --seconds."
    )
    return [cases, columns]


_COSTS_WORDS = (
    "A dash is a case that uses the program of another, or a number that the system does not tell. Process peak memory "
    "is the most memory in use from the start of the process until the case had run once; on a GPU or TPU it is the "
    "device's memory. Multiply-adds follow from the definitions of convolution and matrix product, whatever operations "
    "the program uses."
)
_SCALING_WORDS = (
    "How many times as fast all devices train as one of them alone does, on batches of the same size, and this divided "
    "by the number of devices: the efficiency. It is 1 if no device ever waits. Devices that are simulated on one "
    "processor share its cores, so that they are no faster than one."
)


def scaling_table(record: Record) -> Table:
    """How much faster several devices are."""
    rows = [
        [
            f"{row['batch_size']:,}",
            row["dtype"],
            f"{row['ratio']:.2f}",
            f"{row['efficiency']:.2f} ({interval(row['interval'], '{:.2f}'.format)})",
        ]
        for row in record["scaling"]
    ]
    title = f"All {record['scaling'][0]['devices']} devices, compared with one of them"
    return Table(title, ["batch size", "dtype", "times as fast", "efficiency (95 % interval)"], rows)


def _target_title(record: Record) -> str:
    return f"Time to a test accuracy of {_accuracy(record)}"


def _accuracy(record: Record) -> str:
    return f"{100 * record['target']['accuracy']:g} %"


def target_table(record: Record) -> Table:
    """Each seed's way to the accuracy."""
    rows = [
        [
            str(seed["seed"]),
            MISSING if seed["seconds"] is None else duration(seed["seconds"]),
            MISSING if seed["epochs"] is None else str(seed["epochs"]),
            percent(seed["test_accuracies"][-1]) if seed["test_accuracies"] else MISSING,
        ]
        for seed in record["target"]["seeds"]
    ]
    return Table(_target_title(record), ["seed", "time", "epochs", "test accuracy"], rows)


def target_words(record: Record) -> list[str]:
    """The mean time, or how many seeds did not get there, and what the time is of."""
    target = record["target"]
    reached = sum(seed["seconds"] is not None for seed in target["seeds"])
    result = f"{reached} of {counted(len(target['seeds']), 'seed')} reached {_accuracy(record)}"
    if target["seconds"]:
        kind = "95 % CI" if target["seconds"]["interval"] else "no interval"
        result += f", after {duration_estimate(target['seconds'])} ({kind}, n = {target['seconds']['n']})."
    else:
        result += f" within {counted(target['epochs'], 'epoch')}: there is no mean. Train longer with --epochs."
    meaning = (
        f"It is the time of training at batch size {target['batch_size']:,} in {target['dtype']}, without compilation, "
        "until the end of the first epoch after which the test images are classified so well. That measures speed, and "
        "no accuracy: the test images decide where it ends."
    )
    return [result, meaning]


def state_table(record: Record) -> Table:
    """The machine's state before and after the rounds."""
    before, after = (record["conditions"][when] for when in ("before", "after"))
    rows = [[name, *(_known(of[key], unit) for of in (before, after))] for key, name, unit in _STATE]
    return Table("While it was measured", ["", "before", "after"], rows)


_STATE = (
    ("load", "load", ""),
    ("clock_mhz", "clock speed", " MHz"),
    ("temperature_celsius", "temperature", " °C"),
    ("gpu_clock_mhz", "GPU's clock speed", " MHz"),
    ("gpu_temperature_celsius", "GPU's temperature", " °C"),
)


def _known(value: Any, unit: str) -> str:
    return "unknown" if value is None else f"{value:,}{unit}"


def _machine_words(record: Record) -> list[str]:
    """What it was measured on: as text, because names of systems and commits are longer than a phone is wide."""
    machine, options = record["machine"], record["compiler_options"]
    before, after = (record["conditions"][when]["date"][:19].replace("T", " ") for when in ("before", "after"))
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    return [
        f"{machine['device']}, {counted(machine['cores'], 'core')}, {machine['system']}. Python {machine['python']}, "
        f"{versions}. Commit {machine['git_commit'] or 'unknown'}. Measured from {before} to "
        f"{after} (UTC).",
        f"Compiler options: {', '.join(f'{name}={value}' for name, value in options.items()) or 'none'}. XLA_FLAGS: "
        f"{machine['xla_flags'] or 'none'}.",
    ]


def _state_words(record: Record) -> list[str]:
    share = record["conditions"]["used_by_others"]
    if share is None:
        return ["How much of the processor other programs used is unknown: this system does not tell."]
    busy = " Numbers of a busy machine are too low: measure again when they have ended." if share > BUSY else ""
    return [f"Other programs used {percent(share, 0)} of the cores while it was measured.{busy}"]


def bounds_table(part: Record) -> Table:
    """The time of each layer of a training step, and of the whole step, and what limits it."""
    rows = [
        [
            work["name"],
            duration(work["seconds"]),
            _billions(work["multiply_adds_per_second"]),
            f"{percent(work['share'], 0)} {work['bound']}",
        ]
        for work in _works(part)
    ]
    title = f"Training at batch size {part['batch_size']} in {part['dtype']}: what limits it"
    return Table(title, ["layer", "time", "10⁹ multiply-adds/s", "share of bound"], rows)


def work_table(part: Record) -> Table:
    """What each layer computes and moves."""
    rows = [
        [
            work["name"],
            f"{work['multiply_adds'] / 1e6:,.1f}",
            f"{work['moved_bytes'] / 1e6:,.2f}",
            f"{work['multiply_adds_per_byte']:,.1f}",
        ]
        for work in _works(part)
    ]
    headings = ["layer", "10⁶ multiply-adds", "MB moved", "multiply-adds per byte"]
    return Table(f"Training at batch size {part['batch_size']} in {part['dtype']}: the work", headings, rows)


def _works(part: Record) -> list[Record]:
    return [*part["layers"], part["step"]]


def _verdicts(part: Record) -> str:
    """The share of each bound in words."""
    by_words: dict[str, list[str]] = {}
    for work in _works(part):
        by_words.setdefault(work["verdict"], []).append(work["name"])
    return " ".join(f"{listed(names)}: {words}." for words, names in by_words.items())


def roofline_words(part: Record) -> str:
    """The device's measured peaks, and how far our count of operations is from XLA's."""
    peaks, layers = part["roofs"], [layer for layer in part["layers"] if layer["operations_by_xla"]]
    peaks_of = "this device" if part["devices"] == 1 else f"all {part['devices']} devices together"
    words = (
        f"Peaks of {peaks_of}, as measured: {_billions(peaks['multiply_adds_per_second'])} billion multiply-adds per "
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
        "solid line is the best that can be done here. Left of the dotted line the memory limits the speed; right of "
        "it the arithmetic does."
    )
    words = (
        "MB moved are the fewest megabytes that the pass must read and write: each array once in each pass. The bound "
        "is the peak that limits a layer, and its share is the part of this peak that the layer reaches."
    )
    figure = Figure(_roofline_figure(part), caption)
    return [roofline_words(part), figure, words, _verdicts(part), bounds_table(part), work_table(part)]


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
        [found["name"], f"{found['calls']:,}", duration(found["seconds"]), percent(found["share"], 1)]
        for found in record["profile"]["operations"]
    ]
    title = f"The {len(rows)} operations of {record['profile']['steps']} training steps that took the most time"
    return Table(title, ["operation", "calls", "time", "share of all time"], rows)


def profile_text(record: Record) -> str:
    """`profile.txt`: the operations, and where each comes from."""
    return "\n".join([_as_text(profile_table(record)), "", *_profile_sources(record)])


def _profile_sources(record: Record) -> list[str]:
    """The layer and the jax primitive of each operation that has some."""
    operations = record["profile"]["operations"]
    return [f"{found['name']}: {found['source']}" for found in operations if found["source"]]


def _billions(number: float) -> str:
    return f"{number / 1e9:,.1f}"


def _as_text(table: Table) -> str:
    """A table as lines of aligned columns."""
    lines = [list(table.headings), *map(list, table.rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(table.headings))]
    aligned = ("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines)
    return "\n".join([table.title, "", *aligned])
