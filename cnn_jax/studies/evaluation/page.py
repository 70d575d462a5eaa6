"""An evaluation's record for people: the same tables on the console and on a page."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing

from cnn_jax.report import figures, pictures
from cnn_jax.report.figures import COLOURS, INK, MARKERS
from cnn_jax.report.page import Figure, Page, Section, Table, render

Record = Mapping[str, Any]

_STRENGTHS = ("0", "1", "2", "3", "4", "5")
_FEW_ANSWERS = 10  # a share of fewer says nothing


def overview(record: Record) -> Table:
    """A line for each run: the means over its seeds."""
    rows = [
        [
            run["name"],
            f"{run['parameters']:,}",
            f"{len(run['seeds'])}",
            percent(run["mean"]["accuracy"]),
            nats(run["mean"]["loss"]),
            percent(run["mean"]["calibration_error"]),
        ]
        for run in record["runs"]
    ]
    headings = ["run", "parameters", "seeds", "test accuracy", "test loss", "calibration error"]
    return Table(f"{record['test_examples']:,} test images of {record['dataset']}", headings, rows)


def seeds(record: Record, run: Record) -> Table:
    """Every seed of a run, and their mean with its interval."""
    rows = [
        [
            f"{row['seed']}",
            _percent(row["accuracy"]),
            f"{row['loss']:.4f}",
            _percent(row["calibration_error"]),
        ]
        for row in run["seeds"]
    ]
    mean = run["mean"]
    rows.append(["mean", percent(mean["accuracy"]), nats(mean["loss"]), percent(mean["calibration_error"])])
    headings = ["seed", "test accuracy", "test loss", "calibration error"]
    return Table(f"{run['name']} on {record['dataset']}: {len(run['seeds'])} seeds", headings, rows)


def ensembles(record: Record, run: Record) -> Table:
    """What the mean of several models' probabilities comes to, for each number of members."""
    rows = [
        [
            f"{row['members']}",
            f"{row['subsets']}",
            _percent(row["quality"]["accuracy"]),
            f"{_percent(row['lowest'])} to {_percent(row['highest'])}" if row["subsets"] > 1 else "-",
            f"{row['quality']['loss']:.4f}",
            _percent(row["quality"]["calibration_error"]),
        ]
        for row in run["ensembles"]
    ]
    headings = ["members", "subsets", "accuracy", "lowest to highest", "neg. log-likelihood", "calibration error"]
    return Table(f"Ensembles of {run['name']} on {record['dataset']}, means over subsets", headings, rows)


def corruptions(record: Record) -> Table:
    """Accuracies: a row for each corruption and run, a column for each strength."""
    rows = [
        [name, run["name"], *(percent(cell).removesuffix(" %") for cell in run["mean"][name])]
        for name in record["corruptions"]["kinds"]
        for run in record["corruptions"]["runs"]
    ]
    title = f"Accuracy in % on {record['test_examples']:,} corrupted test images of {record['dataset']}, by strength"
    return Table(title, ["corruption", "run", *_STRENGTHS], rows)


def strengths(record: Record) -> Table:
    """What each strength of each corruption means."""
    rows = [
        [name, kind["meaning"], *(f"{amount:g}" for amount in kind["amounts"]), kind["unit"]]
        for name, kind in record["corruptions"]["kinds"].items()
    ]
    return Table("What the strengths are", ["corruption", "the image is", *_STRENGTHS, "unit"], rows)


def remarks(record: Record, run: Record) -> Iterator[str]:
    """What has to be said of a run's numbers, a line each."""
    mean, count = run["mean"], len(run["seeds"])
    if count > 1:
        yield (
            f"{record['dataset']} test accuracy {percent(mean['accuracy'])} (95 % CI, n = {count})  "
            f"loss {nats(mean['loss'])}  calibration error {percent(mean['calibration_error'])}"
        )
    if "recorded" in run:
        whose = "the run itself" if count == 1 else "the runs themselves"
        yield f"{whose} recorded loss {run['recorded']['loss']:.4f}  accuracy {run['recorded']['accuracy']:.2%}"
    error = f" {mean['calibration_error']['mean']:.2%}" if count == 1 else ""
    yield f"expected calibration error{error}: over {record['bins']} bins; the loss is the mean negative log-likelihood"


def percent(estimate: Record) -> str:
    """An estimate of a share: `99.07 ± 0.05 %`, the mean and half its 95 % interval, where it has one."""
    return f"{100 * estimate['mean']:.2f}{_half(estimate, 100, 2)} %"


def nats(estimate: Record) -> str:
    """An estimate of a loss: `0.0285 ± 0.0012`."""
    return f"{estimate['mean']:.4f}{_half(estimate, 1, 4)}"


def _half(estimate: Record, factor: float, digits: int) -> str:
    if estimate["interval"] is None:
        return ""
    low, high = estimate["interval"]
    return f" ± {factor * (high - low) / 2:.{digits}f}"


def _percent(share: float) -> str:
    return f"{100 * share:.2f} %"


def page(record: Record, samples: Mapping[str, np.ndarray]) -> str:
    """The whole record as a page. samples: for each corruption some images, uint8 [6, N, H, W, C], by strength."""
    names = " and ".join(run["name"] for run in record["runs"])
    many = [run for run in record["runs"] if "ensembles" in run]
    sections = [Section("How good", [_SCORE_WORDS.format(**record), overview(record)])]
    if many:
        sections.append(Section("Ensembles", [_ENSEMBLE_WORDS, *(ensembles(record, run) for run in many)]))
    sections.append(Section("How sure", [Figure(_reliability(record), _RELIABILITY_WORDS)]))
    if samples:
        sections.append(Section("Corrupted images", _corruption_blocks(record, samples)))
    if many:
        sections.append(Section("Every seed", [seeds(record, run) for run in many]))
    facts = [[f"run {run['name']}", run["path"]] for run in record["runs"]] + _facts(record["machine"])
    sections.append(Section("Computed on", [Table("Runs, machine and versions", ["", ""], facts)]))
    lead = f"Finished runs, scored on the {record['test_examples']:,} test images of {record['dataset']}."
    command = " ".join(record["machine"]["command_line"])
    return render(Page(f"Evaluation of {names}", lead, sections, f"Made by {command}."))


_SCORE_WORDS = (
    "Mean ± half of the 95 % interval of Student's t, where there are several seeds. The test loss is the mean "
    "negative log-likelihood of the right class, in nats. The expected calibration error is the mean gap between how "
    "sure a model is of its answer and how often it is right, over {bins} bins of confidence (Guo et al., 2017)."
)
_ENSEMBLE_WORDS = (
    "An ensemble predicts the mean of its members' probabilities. Each line is the mean over subsets of the seeds: all "
    "of that size, or 50 drawn from a fixed seed. Subsets share members, so the range is no confidence interval."
)
_RELIABILITY_WORDS = (
    "Above: of the answers given with a confidence, the share that is right. On the dotted line a model is right as "
    "often as it says; below it is too sure, above it not sure enough. Below: how many answers there are in each bin; "
    "bins of fewer than 10 are left out. Of single models, the answers of all seeds are counted together."
)
_CURVE_WORDS = (
    "Accuracy against strength; what a strength means is on each panel's axis. Bands: 95 % intervals of the mean over "
    "seeds. All models see the same corrupted images."
)


def _corruption_blocks(record: Record, samples: Mapping[str, np.ndarray]) -> list[str | Table | Figure]:
    words = "What comes in from outside is paper. Direction, sign, place and pattern of noise are drawn for each image."
    return [
        words,
        strengths(record),
        Figure(_sample_sheet(samples), "Some test images, from strength 0 on the left to 5 on the right."),
        Figure(_curves(record["corruptions"]), _CURVE_WORDS),
        corruptions(record),
    ]


def _reliability(record: Record) -> Markup:
    """The reliability diagram of all runs, above the number of answers in each bin."""
    lines = [(f"{run['name']}, {who}", run, bins) for run in record["runs"] for who, bins in run["reliability"].items()]

    def paint(drawing: Drawing) -> None:
        above, below = drawing.subplots(2, sharex=True, height_ratios=(3, 1.2))
        above.plot([0, 1], [0, 1], color=INK, linestyle=":", linewidth=1)
        for index, (name, _, bins) in enumerate(lines):
            look = {"color": COLOURS[index % len(COLOURS)], "marker": MARKERS[index % len(MARKERS)], "markersize": 5}
            filled = [bin for bin in bins if bin["count"] >= _FEW_ANSWERS]
            above.plot([b["confidence"] for b in filled], [b["accuracy"] for b in filled], label=name, **look)
            below.plot([b["confidence"] for b in filled], [b["count"] for b in filled], **look)
        above.set(ylabel="share that is right", ylim=(-0.03, 1.03), xlim=(-0.03, 1.03))
        below.set(xlabel="confidence: the largest probability", ylabel="answers", yscale="log")
        above.legend(loc="lower right", fontsize=9)
        for axes in (above, below):
            axes.grid(color=INK, alpha=0.15)

    errors = "; ".join(
        f"{run['name']}: {run['mean']['calibration_error']['mean']:.2%} calibration error" for run in record["runs"]
    )
    return figures.compose(f"Reliability diagram. {errors}.", paint, size=(6.0, 6.0))


def _curves(part: Record) -> Markup:
    """Accuracy against strength: a panel for each corruption, a line for each run."""

    said = "; ".join(
        f"{run['name']} falls from {run['mean'][name][0]['mean']:.0%} to {run['mean'][name][-1]['mean']:.0%} by {name}"
        for name in part["kinds"]
        for run in part["runs"]
    )
    paints = [_panel(part, name) for name in part["kinds"]]
    columns = min(2, len(paints))
    return figures.panels(f"Accuracy against strength: {said}.", paints, columns=columns, cell=(2.9, 2.6))


def _panel(part: Record, name: str) -> Callable[[Axes], None]:
    """Paints the curves of one corruption."""
    kind = part["kinds"][name]

    def paint(axes: Axes) -> None:
        for index, run in enumerate(part["runs"]):
            means = [100 * cell["mean"] for cell in run["mean"][name]]
            bounds = [cell["interval"] or (cell["mean"], cell["mean"]) for cell in run["mean"][name]]
            low, high = (100 * np.array(side) for side in zip(*bounds, strict=True))
            colour, marker = COLOURS[index % len(COLOURS)], MARKERS[index % len(MARKERS)]
            axes.fill_between(range(len(means)), low, high, color=colour, alpha=0.2, linewidth=0)
            axes.plot(means, color=colour, marker=marker, markersize=4, label=run["name"])
        axes.set(title=name, xlabel=kind["unit"], ylabel="accuracy, %", ylim=(0, 103))
        axes.set_xticks(range(len(kind["amounts"])), [f"{amount:g}" for amount in kind["amounts"]])
        axes.grid(color=INK, alpha=0.15)
        axes.legend(loc="lower left", fontsize=9)

    return paint


def _sample_sheet(samples: Mapping[str, np.ndarray]) -> Markup:
    """A row for each corruption, its strengths from left to right; of each strength all images beside each other."""

    def paint(drawing: Drawing) -> None:
        axes = drawing.subplots(len(samples), 1, squeeze=False)[:, 0]
        for row, (name, images) in zip(axes, samples.items(), strict=True):
            strips = [np.concatenate(strength, axis=1) for strength in images]
            gap = np.zeros_like(strips[0][:, :4])
            sheet = np.concatenate([part for strip in strips for part in (strip, gap)][:-1], axis=1)
            pictures.image(row, sheet[..., 0] if sheet.shape[-1] == 1 else sheet / 255, low=0, high=255)
            row.set_title(name, loc="left", fontsize=10)
            row.set_axis_off()

    said = f"Test images under {', '.join(samples)}, each from strength 0 on the left to 5 on the right."
    return figures.compose(said, paint, size=(6.5, 0.75 * len(samples)))


def _facts(machine: Record) -> list[list[str]]:
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    return [
        ["device", machine["device"]],
        ["cores", f"{machine['cores']}"],
        ["system", machine["system"]],
        ["versions", versions],
        ["commit", machine["git_commit"] or "not known"],
    ]
