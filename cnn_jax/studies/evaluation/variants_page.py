"""The table, sentences and text of an evaluation on test-time augmentation. The console shows the same."""

from collections.abc import Iterator, Mapping
from typing import Any

from cnn_jax.report.format import counted, interval, p_words, points
from cnn_jax.report.page import Block
from cnn_jax.report.statistics import NO_DIFFERENCE
from cnn_jax.report.tables import Table
from cnn_jax.studies.evaluation.cells import SCORES, mean_scores, scores

Record = Mapping[str, Any]


def augmentation_table(record: Record) -> Table:
    """The scores of every run, and of the ensemble of its seeds, without and with test-time augmentation."""
    found = record["test_augmentation"]
    single, several = "the image", f"{found['variants']} variants"
    rows = []
    for run, augmented in zip(record["runs"], found["runs"], strict=True):
        rows += [[run["name"], what, *mean_scores(one)] for what, one in ((single, run), (several, augmented))]
        if "ensemble" in augmented:
            members = f"ensemble of {len(run['seeds'])}, "
            qualities = (single, run["ensembles"][-1]["quality"]), (several, augmented["ensemble"])
            rows += [[run["name"], f"{members}{what}", *scores(quality)] for what, quality in qualities]
    return Table(
        f"Test-time augmentation on {record['images']} of {record['dataset']}", ["run", "predicted from", *SCORES], rows
    )


def augmentation_sentences(record: Record) -> Iterator[str]:
    """What test-time augmentation changes, a sentence or two for each run."""
    found = record["test_augmentation"]
    corrected = f" after Holm's correction for {len(found['runs'])} runs" if len(found["runs"]) > 1 else ""
    for run in found["runs"]:
        is_shown = run["verdict"] != NO_DIFFERENCE
        verdict = f"{run['verdict']} with test-time augmentation" if is_shown else NO_DIFFERENCE
        one_seed = " This is about one seed: another may give another result." if run["mcnemar"] else ""
        yield (
            f"{run['name']}: {verdict}: {points(run['difference']['accuracy']['mean'])} percentage points of "
            f"accuracy{_evidence(run)}{p_words(run['p_holm'])}{corrected}. The loss changes by "
            f"{_change(run['difference']['loss'])}.{one_seed}"
        )


def _evidence(run: Record) -> str:
    """What the p-value of a run is of."""
    if run["mcnemar"]:
        right = [counted(run["mcnemar"][which], "image") for which in ("only_second", "only_first")]
        return f", {right[0]} right only with it and {right[1]} only without it; McNemar's test: "
    accuracy = run["difference"]["accuracy"]
    bounds = f"95 % interval {interval(accuracy['interval'], points)}, " if accuracy["interval"] else ""
    return f" ({bounds}{counted(accuracy['n'], 'seed')}); "


def _change(estimate: Record) -> str:
    bounds = f" (95 % interval {interval(estimate['interval'], _signed)})" if estimate["interval"] else ""
    return f"{_signed(estimate['mean'])}{bounds}"


def _signed(value: float) -> str:
    return f"{value:+.4f}"


def augmentation_estimates(record: Record) -> Iterator[Record]:
    """The estimates that the table and the sentences show."""
    for run in record["test_augmentation"]["runs"]:
        yield from run["mean"].values()
        yield from (run["difference"][name] for name in ("accuracy", "loss"))


def augmentation_blocks(record: Record) -> list[Block]:
    """The part of a page on test-time augmentation."""
    return [_text(record["test_augmentation"]), augmentation_table(record), *augmentation_sentences(record)]


def _text(found: Record) -> str:
    """What is averaged, and when that may be chosen."""
    changes = []
    if found["pixels"]:
        changes.append(
            f"moved by up to {counted(found['pixels'], 'pixel')} up, down, left and right, where what comes in from "
            "outside is background"
        )
    if found["mirrored"]:
        changes.append("mirrored from left to right")
    return (
        f"Each model also predicts the mean of its probabilities for {found['variants']} variants of an image: it is "
        f"{', and '.join(changes)}. All other scores of this page are those of single images. To choose whether and "
        "how to augment is a part of choosing the model, so it belongs on held-out training images: the best of "
        "several variants by these test scores would look better than it is."
    )
