"""Draws docs/cifar.svg and writes the README's sentence on CIFAR-10 from experiments/results/cifar.json.

    python experiments/results/cifar_curves.py RUN [RUN ...]    # first stores the numbers of these runs of many seeds

Each RUN is the folder of a finished `--seeds` command with held-out images.
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from cnn_jax.report import figures
from cnn_jax.report.format import counted, loss_estimate, percent_estimate
from cnn_jax.report.statistics import POSITIVE, SHARE, summary
from experiments.results import readme

RECORD, FIGURE = readme.RESULTS / "cifar.json", readme.ROOT / "docs" / "cifar.svg"
MEASURES = {"train_accuracy": "training images", "validation_accuracy": "held-out images"}


def collected(run: Path) -> dict[str, Any]:
    """The numbers of a run of several seeds."""
    result = json.loads((run / "result.json").read_text(encoding="utf-8"))
    folders = [run / f"seed-{seed['seed']}" for seed in result["seeds"]]
    rows = [
        list(map(json.loads, (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines())) for folder in folders
    ]
    machine = json.loads((folders[0] / "machine.json").read_text(encoding="utf-8"))
    return {
        "name": result["experiment"],
        "parameters": result["parameters"],
        "test_accuracy": summary([seed["test_accuracy"] for seed in result["seeds"]], SHARE),
        "test_loss": summary([seed["test_loss"] for seed in result["seeds"]], POSITIVE),
        "curves": {measure: [[row[measure] for row in of_seed] for of_seed in rows] for measure in MEASURES},
        "machine": {name: machine[name] for name in ("device", "cores", "versions", "git_commit", "data_fingerprint")},
    }


def drawing(models: list[dict[str, Any]]) -> str:
    """Accuracy by epoch, of training images (dashed) and held-out ones: means over the seeds and all seeds' range."""

    def paint(axes: Any) -> None:
        for index, model in enumerate(models):
            for measure, what in MEASURES.items():
                values = 100 * np.array(model["curves"][measure])
                epochs, style = np.arange(1, values.shape[1] + 1), figures.line_style(index)
                axes.fill_between(epochs, values.min(0), values.max(0), color=style["color"], alpha=0.2, linewidth=0)
                line = {**style, "linestyle": "--" if measure.startswith("train") else "-"}
                axes.plot(epochs, values.mean(0), markersize=5, label=f"{model['name']}, {what}", **line)
        axes.set_xlabel("epoch")
        axes.set_ylabel("accuracy, %")
        figures.grid(axes)
        axes.legend(loc="lower right", fontsize=10)

    return figures.as_svg_file(figures.draw("accuracy by epoch on CIFAR-10", paint, size=(7.0, 4.2)))


def sentence(models: list[dict[str, Any]]) -> str:
    """The README's words."""
    scores = [
        f"`{model['name']}` ({model['parameters']:,} parameters): test accuracy "
        f"{percent_estimate(model['test_accuracy'])}, loss {loss_estimate(model['test_loss'])} "
        f"(n = {model['test_accuracy']['n']})."
        for model in models
    ]
    machines = [model["machine"] for model in models]
    facts = [f"{each['device']}, {counted(each['cores'], 'core')}, jax {each['versions']['jax']}" for each in machines]
    where = "; ".join(dict.fromkeys(facts))
    return "\n".join([*(f"- {score}" for score in scores), "", f"Mean ± half the width of its 95 % interval. {where}."])


def main(runs: list[str]) -> int:
    """Stores the runs, if any are named; draws and writes."""
    if runs:
        RECORD.write_text(json.dumps([collected(Path(run)) for run in runs], indent=1) + "\n", encoding="utf-8")
    models = json.loads(RECORD.read_text(encoding="utf-8"))
    FIGURE.write_text(drawing(models), encoding="utf-8")
    text = (readme.ROOT / "README.md").read_text(encoding="utf-8")
    (readme.ROOT / "README.md").write_text(readme.replaced(text, "cifar", sentence(models)), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
