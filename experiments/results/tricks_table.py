"""Writes the README's tables of what each trick buys from tricks_mnist.json and tricks_cifar.json.

    python experiments/results/tricks_table.py            # replaces the text between the README's markers
    python experiments/results/tricks_table.py --check    # changes nothing, exits with 1 when the README differs

Both are records of --mode=compare. The first model of each is the plain one. Holm's correction counts the pairs with
the plain one alone, because no others are asked about.
"""

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from cnn_jax.report.format import interval, loss_estimate, p_value, percent, percent_estimate, points
from cnn_jax.report.statistics import holm, verdict
from cnn_jax.settings import as_text
from experiments.results import readme

NAMES = ("tricks_mnist", "tricks_cifar")


def part(record: dict[str, Any]) -> str:
    """A row for each model: held-out and test scores, its difference to the plain model, p and the verdict."""
    plain, *others = record["models"]
    pairs = [_pair(record, plain, model) for model in others]
    corrected = holm([pair["test_accuracy"]["p"] for pair in pairs])
    lines = [
        "| setting | held-out accuracy | test accuracy | test cross-entropy | points above the plain network | p | |",
        "|---|--:|--:|--:|--:|--:|---|",
        _row("none of these", plain, ["", "", ""]),
    ]
    lines += [
        _row(f"`{_tricks(model, plain)}`", model, _difference(pair, p))
        for model, pair, p in zip(others, pairs, corrected, strict=True)
    ]
    return "\n".join([*lines, "", _caption(record)])


def _pair(record: dict[str, Any], plain: dict[str, Any], model: dict[str, Any]) -> dict[str, Any]:
    names = (plain["name"], model["name"])
    [pair] = [pair for pair in record["pairs"] if (pair["first"], pair["second"]) == names]
    return pair


def _row(name: str, model: dict[str, Any], difference: list[str]) -> str:
    held_out = percent(model["curves"]["validation_accuracy"][-1]["mean"])
    scores = [held_out, percent_estimate(model["test_accuracy"]), loss_estimate(model["test_loss"])]
    return f"| {' | '.join([name, *scores, *difference])} |"


def _tricks(model: dict[str, Any], plain: dict[str, Any]) -> str:
    return model["name"].removeprefix(plain["name"]).strip()


def _difference(pair: dict[str, Any], p: float | None) -> list[str]:
    """How many points the model is above the plain one, with the interval; p after the correction; the verdict."""
    accuracy = pair["test_accuracy"]
    low, high = accuracy["interval"]
    above = f"{points(-accuracy['mean'])} ({interval([-high, -low], points)})"
    return [above, p_value(p), verdict(-accuracy["mean"], p, below="worse", above="better")]


def _caption(record: dict[str, Any]) -> str:
    model, settings = record["models"][0], record["settings"]
    machines = dict.fromkeys(
        f"{one['device']}, cores: {one['cores']}, jax {one['versions']['jax']}" for one in record["machines"]
    )
    return (
        f"Mean of {len(model['seeds'])} seeds ± half the width of its 95 % interval after {model['config']['epochs']} "
        "epochs, where a row names no other number; differences are in percentage points, seed by seed, with their "
        "95 % intervals; p is of a paired t-test after Holm's correction for "
        f"{len(record['models']) - 1} comparisons. {settings['test_examples']:,} test images; nothing was chosen by "
        f"them. Augmentations: {_augmentations(record)}. {'; '.join(machines)}; {record['date']}."
    )


def _augmentations(record: dict[str, Any]) -> str:
    """The settings of all that are used, as flags name them."""
    parts = {part["name"]: part for model in record["models"] for part in model["config"]["augment"]}
    return ", ".join(
        f"{name}.{setting}={as_text(value)}"
        for name, part in parts.items()
        for setting, value in part.items()
        if setting != "name"
    )


if __name__ == "__main__":
    sys.exit(max(readme.main(__file__, __doc__, name, part) for name in NAMES))
