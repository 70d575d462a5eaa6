"""Writes the README's table of what each trick buys from tricks_mnist.json, a record of --mode=compare.

    python experiments/results/tricks_table.py            # replaces the text between the README's markers
    python experiments/results/tricks_table.py --check    # changes nothing, exits with 1 when the README differs

The first model of the record is the plain one, and every other one differs from it by its tricks alone.
"""

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from cnn_jax.report.format import interval, loss_estimate, p_words, percent, percent_estimate, points
from experiments.results import readme

_OPPOSITE = {"better": "worse", "worse": "better"}


def part(record: dict[str, Any]) -> str:
    """A row for each model: held-out and test scores, and its difference to the first model with the verdict."""
    plain, *others = record["models"]
    lines = [
        "| | held-out images | test images | test loss | difference on test images | |",
        "|---|--:|--:|--:|--:|---|",
    ]
    lines += [_row("nothing", plain, "-", "-")]
    lines += [_row(_tricks(model, plain), model, *_compared(record, plain, model)) for model in others]
    return "\n".join([*lines, "", _caption(record)])


def _row(name: str, model: dict[str, Any], difference: str, verdict: str) -> str:
    held_out = percent(model["curves"]["validation_accuracy"][-1]["mean"])
    scores = [percent_estimate(model["test_accuracy"]), loss_estimate(model["test_loss"])]
    return f"| {' | '.join([name, held_out, *scores, difference, verdict])} |"


def _tricks(model: dict[str, Any], plain: dict[str, Any]) -> str:
    return f"`{model['name'].removeprefix(plain['name']).strip()}`"


def _compared(record: dict[str, Any], plain: dict[str, Any], model: dict[str, Any]) -> tuple[str, str]:
    """How many points the model is above the plain one, with the interval, and the verdict."""
    names = (plain["name"], model["name"])
    [pair] = [pair for pair in record["pairs"] if (pair["first"], pair["second"]) == names]
    accuracy = pair["test_accuracy"]
    low, high = accuracy["interval"]
    above = f"{points(-accuracy['mean'])} ({interval([-high, -low], points)})"
    return above, f"{_OPPOSITE.get(pair['verdict'], pair['verdict'])}, {p_words(accuracy['p_holm'])}"


def _caption(record: dict[str, Any]) -> str:
    [machine], settings = record["machines"], record["settings"]
    return (
        f"Mean of {len(record['models'][0]['seeds'])} seeds ± half the width of its 95 % interval, and differences in "
        "percentage points seed by seed; p by a paired t-test after Holm's correction for "
        f"{len(record['pairs'])} pairs. {settings['test_examples']:,} test images of {record['dataset']}. "
        f"{machine['device']}, jax {machine['versions']['jax']}, {record['date']}."
    )


if __name__ == "__main__":
    sys.exit(readme.main(__file__, __doc__, "tricks_mnist", part))
