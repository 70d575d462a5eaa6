"""Score a finished run's parameters on test images again, its own dataset's or another's."""

from pathlib import Path

from cnn_jax import compilation, data
from cnn_jax.data.dataset import Spec
from cnn_jax.errors import InputError
from cnn_jax.execution import checkpoint
from cnn_jax.execution.directory import RunDirectory
from cnn_jax.reporting.console import Console
from cnn_jax.training import mesh as meshes
from cnn_jax.training import programs
from cnn_jax.training.metrics import Score


def run(
    *,
    workdir: Path | None = None,
    dataset: str | None = None,
    data_dir: Path | None = None,
    manual_dir: Path | None = None,
    compilation_cache: bool = True,
) -> Score:
    """Recomputes loss and accuracy from the parameters that a run left; writes nothing.

    Raises InputError where there is no finished run, or where the dataset's images or classes are not the model's.
    """
    if workdir is None:
        raise InputError("--mode=evaluate: name the run with --workdir=RUN.")
    directory, console = RunDirectory(workdir), Console()
    compilation.start(persistent_cache=compilation_cache)
    config, result = directory.config(), directory.finished_result()
    trained_on, spec = data.spec(config.dataset), data.spec(dataset or config.dataset)
    _require_same_form(trained_on, spec)
    mesh = meshes.over_all_devices()
    shapes = programs.saved_shapes(config, trained_on, mesh)
    state = checkpoint.of_step(directory.checkpoints, result.steps, shapes).state
    test = data.load(
        spec.name, data_dir=data_dir, manual_dir=manual_dir, glyph_seed=config.glyph_seed, warn=console.note
    ).test
    score = programs.compile_inference(config, spec, test, mesh).score(state.params)
    outputs = {name: (output.loss, output.accuracy) for name, output in score.outputs.items()}
    console.score(spec.name, score.loss, score.accuracy, score.examples, outputs)
    if spec.name == config.dataset:
        console.line(f"the run itself recorded loss {result.test_loss:.4f}  accuracy {result.test_accuracy:.2%}")
    return score


def _require_same_form(trained_on: Spec, spec: Spec) -> None:
    for what, mine, theirs in (
        ("images of shape", trained_on.image_shape, spec.image_shape),
        ("classes numbering", len(trained_on.classes), len(spec.classes)),
    ):
        if mine != theirs:
            raise InputError(f"--dataset={spec.name}: has {what} {theirs}; the run was trained on {mine}.")
