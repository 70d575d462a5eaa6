"""Writes the README's comparison of models from experiments/results/compare.json, a record of --mode=compare.

    python experiments/results/compare_table.py            # replaces the text between the README's markers
    python experiments/results/compare_table.py --check    # changes nothing, exits with 1 when the README differs

The markers are the HTML comments compare:begin and compare:end, each on its own line. The sentences below the table
compare the first model with each of the others.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from cnn_jax.report.format import duration, loss_estimate, percent_estimate
from cnn_jax.studies.compare.page import remarks, sentences, timing_note
from experiments.results import readme


def part(record: dict) -> str:
    """A row for each model, a sentence for each pair with the first model, and what the numbers were measured on."""
    lines = ["| | parameters | test accuracy | test loss | images/s | training |", "|---|--:|--:|--:|--:|--:|"]
    lines += [f"| {' | '.join(_row(model))} |" for model in record["models"]]
    first = record["models"][0]["name"]
    pairs = zip(record["pairs"], sentences(record), strict=True)
    shown = [f"- {sentence}" for pair, sentence in pairs if first in (pair["first"], pair["second"])]
    return "\n".join([*lines, "", *shown, "", _caption(record)])


def _row(model: dict) -> list[str]:
    return [
        f"`{model['name']}`",
        f"{model['parameters']:,}",
        f"{percent_estimate(model['test_accuracy'])} (n = {model['test_accuracy']['n']})",
        loss_estimate(model["test_loss"]),
        f"{model['images_per_second']['mean']:,.0f}",
        duration(model["train_seconds"]["mean"]),
    ]


def _caption(record: dict) -> str:
    machines = record["machines"]
    devices = ", ".join(dict.fromkeys(machine["device"] for machine in machines))
    versions = dict.fromkeys(f"jax {machine['versions'].get('jax', '-')}" for machine in machines)
    notes = " ".join([*remarks(record), timing_note(record)])
    return (
        f"Mean ± half the width of its 95 % interval over n seeds, on {record['settings']['test_examples']:,} test "
        f"images of {record['dataset']}. {devices}; {', '.join(versions)}; {record['date']}. {notes}"
    )


if __name__ == "__main__":
    sys.exit(readme.main(__file__, __doc__, "compare", part))
