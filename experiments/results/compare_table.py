"""Writes the README's comparison of models from experiments/results/compare.json, which --mode=compare wrote.

    python experiments/results/compare_table.py            # replaces what stands between the README's markers
    python experiments/results/compare_table.py --check    # changes nothing, exits 1 when the README differs

The markers are the HTML comments compare:begin and compare:end, each on a line of its own.

The first model of the comparison is the one that the sentences below the table are about.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from cnn_jax.studies.compare import page as comparison
from experiments.results import readme


def part(record: dict) -> str:
    """A row for each model, what is to be said of the first and each other one, and what it was measured on."""
    lines = ["| | parameters | test accuracy | test loss | images/s | training |", "|---|--:|--:|--:|--:|--:|"]
    lines += [f"| {' | '.join(_row(model))} |" for model in record["models"]]
    first = record["models"][0]["name"]
    said = zip(record["pairs"], comparison.sentences(record), strict=True)
    sentences = [f"- {sentence}" for pair, sentence in said if first in (pair["first"], pair["second"])]
    return "\n".join([*lines, "", *sentences, "", _caption(record)])


def _row(model: dict) -> list[str]:
    accuracy, loss = model["test_accuracy"], model["test_loss"]
    return [
        f"`{model['name']}`",
        f"{model['parameters']:,}",
        f"{100 * accuracy['mean']:.2f}{_half(accuracy, 100, 2)} % (n = {accuracy['n']})",
        f"{loss['mean']:.4f}{_half(loss, 1, 4)}",
        f"{model['images_per_second']['mean']:,.0f}",
        comparison.seconds(model["train_seconds"]["mean"]),
    ]


def _half(found: dict, factor: int, digits: int) -> str:
    """Half of the interval's width, which lies evenly about the mean."""
    if not found["interval"]:
        return ""
    return f" ± {factor * (found['interval'][1] - found['mean']):.{digits}f}"


def _caption(record: dict) -> str:
    machines = record["machines"]
    devices = ", ".join(dict.fromkeys(machine["device"] for machine in machines))
    versions = dict.fromkeys(f"jax {machine['versions'].get('jax', '-')}" for machine in machines)
    return (
        f"Mean ± half of its 95 % interval over n seeds, on {record['settings']['test_examples']:,} test images of "
        f"{record['dataset']}. {devices}; {', '.join(versions)}; {record['date']}. {comparison.times_line(record)}"
    )


if __name__ == "__main__":
    sys.exit(readme.main(__file__, __doc__, "compare", part))
