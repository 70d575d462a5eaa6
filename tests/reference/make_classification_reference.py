"""Makes classification_reference.json: what scikit-learn reports on some predictions.

    python make_classification_reference.py

Writes the file beside this script. It was made with scikit-learn 1.9.1 and numpy 2.4.6. Only this script needs
scikit-learn: the project reads the numbers and never imports it.

The file holds a list of cases. In `all classes`, every class has images and is predicted; in `gaps`, class 2 of 7 has
no images, class 4 is never predicted, and class 6 is neither; `two classes` has no top-5 accuracy. Each case has

    name, classes       what it is called; how many classes there are
    logits, labels      of each image, [N][classes] and [N]; a prediction is the class of the largest logit
    confusion           of sklearn.metrics.confusion_matrix
    report              of sklearn.metrics.classification_report(zero_division=0, output_dict=True), for all classes
    top_5               of sklearn.metrics.top_k_accuracy_score(k=5); null where there are no more than 5 classes
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import sklearn
from sklearn import metrics

SEED = 5


def case(name: str, classes: int, labels: np.ndarray, never_predicted: tuple[int, ...] = ()) -> dict[str, Any]:
    """What scikit-learn says about predictions of which more than half are right."""
    rng = np.random.default_rng([SEED, classes])
    logits = np.round(2 * np.eye(classes)[labels] + rng.normal(size=(len(labels), classes)), 3)
    logits[:, list(never_predicted)] -= 100
    every, predictions = range(classes), logits.argmax(axis=1)
    report = metrics.classification_report(
        labels, predictions, labels=every, target_names=[str(c) for c in every], zero_division=0, output_dict=True
    )
    return {
        "name": name,
        "classes": classes,
        "logits": logits.tolist(),
        "labels": labels.tolist(),
        "confusion": metrics.confusion_matrix(labels, predictions, labels=every).tolist(),
        "report": report,
        "top_5": metrics.top_k_accuracy_score(labels, logits, k=5, labels=every) if classes > 5 else None,
    }


def main() -> None:
    rng = np.random.default_rng(SEED)
    cases = [
        case("all classes", 10, rng.integers(0, 10, 120)),
        case("gaps", 7, rng.choice([0, 1, 3, 4, 5], 60), never_predicted=(4, 6)),
        case("two classes", 2, rng.integers(0, 2, 30)),
    ]
    path = Path(__file__).with_name("classification_reference.json")
    made_by = f"scikit-learn {sklearn.__version__}, numpy {np.__version__}"
    path.write_text(json.dumps({"made_by": made_by, "cases": cases}) + "\n")
    print(f"{path.name}: {path.stat().st_size:,} bytes, {made_by}")


if __name__ == "__main__":
    main()
