"""Writes the lesson's stored comparison from experiments/results/compare.json, a record of --mode=compare.

    python experiments/results/lesson_comparison.py            # writes cnn_jax/studies/lesson/comparison.json
    python experiments/results/lesson_comparison.py --check    # changes nothing, exits with 1 when the file differs

The package holds this file and not the record, of which the lesson shows a tenth.
"""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from cnn_jax.studies.compare.page import sentences
from cnn_jax.studies.lesson.verdict import STORED
from experiments.results.readme import RESULTS

_SHOWN = ("lecture_cnn", "lecture_cnn_no_pooling", "dense")
_ESTIMATES = ("test_accuracy", "test_loss", "train_seconds")


def chosen(record: dict) -> dict:
    """What the lesson shows of a record of --mode=compare: three models, and the first one's pairs in words."""
    said = zip(record["pairs"], sentences(record), strict=True)
    [machine] = record["machines"]
    return {
        "models": [_model(model) for model in record["models"] if model["name"] in _SHOWN],
        "sentences": [text for pair, text in said if pair["first"] == _SHOWN[0] and pair["second"] in _SHOWN],
        "measured": f"Scored on {record['settings']['test_examples']:,} test images of {record['dataset']}, on "
        f"{machine['device']} with jax {machine['versions']['jax']}, {record['date']}. Other programs used its cores.",
    }


def _model(model: dict) -> dict:
    estimates = {name: {key: model[name][key] for key in ("n", "mean", "interval")} for name in _ESTIMATES}
    return {"name": model["name"], "parameters": model["parameters"], **estimates}


def main() -> int:
    """Writes or checks the file; returns the exit code."""
    record = json.loads((RESULTS / "compare.json").read_text(encoding="utf-8"))
    wanted = json.dumps(chosen(record), indent=1) + "\n"
    if "--check" not in sys.argv:
        STORED.write_text(wanted, encoding="utf-8")
    elif not STORED.is_file() or STORED.read_text(encoding="utf-8") != wanted:
        print(f"{STORED.name} and compare.json disagree: run experiments/results/lesson_comparison.py", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
