"""What TensorBoard shows of the end of a run: the test scores and the confusion matrix, at the last step."""

import math
from typing import Any

import numpy as np

from cnn_jax.report import confusion
from cnn_jax.report.classification import confusion_matrix
from cnn_jax.report.tensorboard import EventWriter
from cnn_jax.runs.session import Session
from cnn_jax.training.metrics import Score


def write_test(events: EventWriter, step: int, score: Score, logits: Any, targets: Any, session: Session) -> None:
    """Adds the scores under the names of a row, as `test_loss`, and a picture for each output.

    logits: float [N, classes]; targets: int [N]; or dicts of them by output. A metric that is no number has no curve. A
    matrix that is too large for a picture is left out, and a note says so.
    """
    main_output, classes = session.learner.task.main_output, session.splits.spec.classes
    numbers = {name: value for name, value in score.named("test").items() if math.isfinite(value)}
    events.write({"step": step, **numbers})
    for output in targets if isinstance(targets, dict) else (None,):
        of_output, labels = (logits, targets) if output is None else (logits[output], targets[output])
        number = of_output.shape[-1]
        if number > confusion.MOST_CLASSES:
            session.console.note(
                f"TensorBoard gets no confusion matrix of {number:,} classes: it draws {confusion.MOST_CLASSES} at "
                "most. --mode=evaluate names the most frequent confusions."
            )
            continue
        names = classes if output == main_output and len(classes) == number else [str(i) for i in range(number)]
        matrix = confusion_matrix(np.asarray(labels), np.asarray(of_output).argmax(axis=-1), number)
        name = "test_confusion_matrix" if output is None else f"test_confusion_matrix/{output}"
        events.write_image(name, confusion.picture(matrix, names), step)
