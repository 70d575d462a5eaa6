"""The tables, sentences and page of an evaluation. The console shows the same tables and sentences."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from cnn_jax import program
from cnn_jax.report import estimates
from cnn_jax.report.format import MISSING, interval, listed, loss, loss_estimate, percent, percent_estimate
from cnn_jax.report.page import Figure, Page, Section, render
from cnn_jax.report.tables import Table, machine_table
from cnn_jax.studies.evaluation import figures
from cnn_jax.studies.evaluation.cells import SCORES, mean_scores, scores, which_images
from cnn_jax.studies.evaluation.classes_page import class_blocks, class_estimates
from cnn_jax.studies.evaluation.corruptions import STRENGTHS
from cnn_jax.studies.evaluation.variants_page import augmentation_blocks, augmentation_estimates

Record = Mapping[str, Any]

_STRENGTHS = [str(strength) for strength in STRENGTHS]


def _overview(record: Record) -> Table:
    rows = [
        [run["name"], f"{run['parameters']:,}", f"{len(run['seeds'])}", *mean_scores(run)] for run in record["runs"]
    ]
    title = f"Scores on {record['test_examples']:,} {record['images']} of {record['dataset']}"
    return Table(title, ["run", "parameters", "seeds", *SCORES], rows)


def seed_table(record: Record, run: Record) -> Table:
    """A row for each seed of a run, and their mean with its interval."""
    rows = [[f"{row['seed']}", *scores(row)] for row in run["seeds"]]
    title = f"{run['name']} on {record['dataset']}: {len(run['seeds'])} seeds"
    return Table(title, ["seed", *SCORES], [*rows, ["mean", *mean_scores(run)]])


def ensemble_table(record: Record, run: Record) -> Table:
    """The scores of ensembles of a run's seeds, by the number of members."""
    rows = []
    for row in run["ensembles"]:
        accuracy, *others = scores(row["quality"])
        lowest_to_highest = interval((row["lowest"], row["highest"]), percent) if row["subsets"] > 1 else MISSING
        rows.append([f"{row['members']}", f"{row['subsets']}", accuracy, lowest_to_highest, *others])
    accuracy, *others = SCORES
    title = f"Ensembles of {run['name']} on {record['dataset']}: means over the subsets"
    return Table(title, ["members", "subsets", accuracy, "lowest to highest", *others], rows)


def metrics_table(record: Record) -> Table:
    """The experiments' own metrics of every run: means over the seeds."""
    rows = [
        [run["name"], name, f"{len(run['seeds'])}", loss_estimate(mean)]
        for run in record["runs"]
        for name, mean in run.get("metrics", {}).items()
    ]
    return Table(f"Metrics on the {record['images']} of {record['dataset']}", ["run", "metric", "seeds", "mean"], rows)


def strength_table(record: Record) -> Table:
    """What the strengths of each corruption mean."""
    rows = [
        [name, kind["meaning"], *(f"{amount:g}" for amount in kind["amounts"]), kind["unit"]]
        for name, kind in record["corruptions"]["kinds"].items()
    ]
    return Table("What the strengths mean", ["corruption", "the image is", *_STRENGTHS, "unit"], rows)


def corruption_table(record: Record) -> Table:
    """The accuracy of every run at each strength of each corruption."""
    rows = [
        [name, run["name"], *(percent_estimate(cell).removesuffix(" %") for cell in run["mean"][name])]
        for name in record["corruptions"]["kinds"]
        for run in record["corruptions"]["runs"]
    ]
    title = (
        f"Accuracy in % on {record['test_examples']:,} corrupted {record['images']} of {record['dataset']}, by strength"
    )
    return Table(title, ["corruption", "run", *_STRENGTHS], rows)


def sentences(record: Record, run: Record) -> Iterator[str]:
    """What to know about a run's numbers, a line each."""
    number = len(run["seeds"])
    accuracy, mean_loss, calibration_error = mean_scores(run)
    if number > 1:
        yield (
            f"{record['dataset']} {which_images(record)} accuracy {accuracy} (95 % CI, n = {number})  "
            f"loss {mean_loss}  calibration error {calibration_error}"
        )
    if "main_output" in run:
        yield f"the model has several outputs; its scores are those of {run['main_output']}"
    if "recorded" in run:
        runs = "the run itself" if number == 1 else "the runs themselves"
        yield f"{runs} recorded loss {loss(run['recorded']['loss'])}  accuracy {percent(run['recorded']['accuracy'])}"
    error = f" {calibration_error}" if number == 1 else ""
    yield f"expected calibration error{error}, with {record['bins']} bins; the loss is the mean negative log-likelihood"


def interval_remarks(record: Record) -> list[str]:
    """What to know about the intervals of all runs."""
    return estimates.remarks(_estimates(record))


def _estimates(record: Record) -> Iterator[Record]:
    """The estimates that the tables show."""
    for run in record["runs"]:
        yield from (*run["mean"].values(), *run.get("metrics", {}).values())
        for found in run["classification"]:
            yield from class_estimates(found)
    if "test_augmentation" in record:
        yield from augmentation_estimates(record)
    for run in record["corruptions"]["runs"] if "corruptions" in record else ():
        yield from (cell for cells in run["mean"].values() for cell in cells)


def render_page(record: Record, images: np.ndarray, samples: Mapping[str, np.ndarray]) -> str:
    """The page as HTML. images: those that are scored, uint8 [N, H, W, C].

    samples: some of them for each corruption and strength, uint8 [6, N, H, W, C].
    """
    with_ensembles = [run for run in record["runs"] if "ensembles" in run]
    outputs = [
        f"{run['name']} has several outputs; its scores are those of {run['main_output']}."
        for run in record["runs"]
        if "main_output" in run
    ]
    metrics = [metrics_table(record)] if metrics_table(record).rows else []
    sections = [
        Section(
            "Scores", [_SCORES_TEXT.format(**record), *interval_remarks(record), *outputs, _overview(record), *metrics]
        )
    ]
    of_classes = [class_blocks(run, images, f"images-{index}") for index, run in enumerate(record["runs"], start=1)]
    sections.append(Section("Classes", [_CLASSES_TEXT, *(block for blocks in of_classes for block in blocks)]))
    if with_ensembles:
        tables = [ensemble_table(record, run) for run in with_ensembles]
        sections.append(Section("Ensembles", [_ENSEMBLES_TEXT, *tables]))
    if "test_augmentation" in record:
        sections.append(Section("Test-time augmentation", augmentation_blocks(record)))
    sections.append(Section("Calibration", [Figure(figures.reliability(record), _RELIABILITY_CAPTION)]))
    if samples:
        sections.append(Section("Corrupted images", _corruption_blocks(record, samples)))
    if with_ensembles:
        sections.append(Section("Every seed", [seed_table(record, run) for run in with_ensembles]))
    folders = Table("Runs", ["run", "folder"], [[run["name"], run["path"]] for run in record["runs"]])
    sections.append(Section("Runs and machine", [folders, machine_table([record["machine"]])]))
    names = listed([run["name"] for run in record["runs"]])
    lead = f"Finished runs, scored on the {record['test_examples']:,} {record['images']} of {record['dataset']}."
    command = " ".join(record["machine"]["command_line"])
    return render(Page(f"Evaluation of {names}", lead, sections, f"Made by {program.name()} {command}."))


_SCORES_TEXT = (
    "Where a run has several seeds, numbers are the mean over the seeds ± half the width of its 95 % interval "
    "(Student's t). The loss is the mean negative log-likelihood of the right class, in nats. The calibration "
    "error is the expected calibration error: the mean gap between a model's confidence, which is its largest "
    "probability, and how often it is right, over {bins} bins of confidence (Guo et al., 2017)."
)
_CLASSES_TEXT = (
    "Precision: of the images that are predicted to be of a class, the share that are. Recall: of the images of a "
    "class, the share that are predicted to be so. F1: the harmonic mean of the two. Support: the number of test "
    "images of the class. The macro average is the mean over the classes; the weighted average weights each class by "
    "its support. Where there are more than five classes, the top-5 accuracy is the share of images whose class is "
    "among the five most probable ones. The definitions are those of scikit-learn's classification_report; a score "
    "whose denominator is 0 is 0. The confusion matrix has a row for each class and a column for each prediction; its "
    "numbers count images."
)
_ENSEMBLES_TEXT = (
    "An ensemble predicts the mean of its members' probabilities. Each row is the mean over subsets of the seeds: all "
    "subsets of that size or, where there are more, 50 drawn with a fixed seed. Subsets share members, so the range "
    "from the lowest to the highest accuracy is not a confidence interval."
)
_RELIABILITY_CAPTION = (
    "Above: how often predictions with a given confidence are right. On the dotted line, a model is right as often as "
    "it claims; below the line it is overconfident, above it underconfident. Below: the number of predictions in each "
    "bin. Bins with fewer than 10 predictions are left out. For single models, the predictions of all seeds are put "
    "together."
)
_CURVES_CAPTION = (
    "Accuracy by strength. The axis below each diagram says what the strengths mean. Bands are 95 % intervals of the "
    "mean over the seeds. All models see the same corrupted images."
)
_CORRUPTIONS_TEXT = (
    "Pixels that come in from outside the image are background. For each image, direction, position and noise pattern "
    "are drawn at random; they are the same at every strength."
)


def _corruption_blocks(record: Record, samples: Mapping[str, np.ndarray]) -> list[str | Table | Figure]:
    sheet = figures.corrupted_images(samples)
    return [
        _CORRUPTIONS_TEXT,
        strength_table(record),
        Figure(sheet, "Some images, from strength 0 on the left to strength 5 on the right."),
        Figure(figures.accuracy_by_strength(record["corruptions"]), _CURVES_CAPTION),
        corruption_table(record),
    ]
