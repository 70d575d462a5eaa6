"""Do the parts of a learner fit each other? Found by tracing, before anything is compiled or written."""

import inspect
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax.traverse_util import flatten_dict
from optax import contrib

from cnn_jax import compilation
from cnn_jax.data.augmentations import Mixed
from cnn_jax.data.dataset import Split
from cnn_jax.errors import InputError, unknown_name
from cnn_jax.training.initial import InitialVariables
from cnn_jax.training.learner import Keys, Learner
from cnn_jax.training.losses import PerImage
from cnn_jax.training.prefixes import is_under, partition, possible_prefixes
from cnn_jax.user_code import defined_at, user_errors

_IMAGES = 61  # of the batch that is traced: a number that hardly any network has as classes, channels or pixels


def require_fitting_images(learner: Learner) -> None:
    """Raises InputError if the images of the dataset do not fit the module, or parts of a batch the batch."""
    if learner.batch_size % learner.microbatches:
        raise InputError(f"--microbatches={learner.microbatches}: does not divide --batch_size={learner.batch_size}.")
    with user_errors("the model", type(learner.module)):
        if learner.frozen:
            _require_frozen(learner)
        _ = learner.abstract_state


def require_fitting_loss(learner: Learner) -> None:
    """Raises InputError if a setting of the loss does not fit the classes."""
    images = jax.ShapeDtypeStruct((_IMAGES, *learner.spec.image_shape), jnp.uint8)
    logits = jax.eval_shape(learner.apply, learner.abstract_variables, images)
    targets = jax.eval_shape(learner.targets, jax.ShapeDtypeStruct((_IMAGES,), jnp.int32))
    _require_per_image("the loss", learner.measures.loss, logits, targets)


def _require_frozen(learner: Learner) -> None:
    """Raises InputError where nothing has one of the frozen names, or where nothing else is left to train."""
    variables = jax.eval_shape(learner.init, jax.random.key(0))
    for prefix in learner.frozen:
        if not any(partition(variables[collection], [prefix])[1] for collection in variables):
            raise unknown_name("--freeze", prefix, "layer or parameter of the model", possible_prefixes(variables))
    if not partition(variables.get("params", {}), learner.frozen)[0]:
        raise InputError(f"--freeze={','.join(learner.frozen)}: these are all parameters: nothing is left to train.")


def require_initial_fits(learner: Learner, initial: InitialVariables) -> None:
    """Raises InputError where the variables that training starts from are not those of the module."""
    found, expected = flatten_dict(initial.variables), flatten_dict(learner.abstract_variables)
    for one in initial.skip:
        if not any(is_under(path[1:], [one]) for path in (*expected, *initial.left_out)):
            known = possible_prefixes(learner.abstract_variables)
            raise unknown_name("--init_skip", one, "layer or parameter of the model", known)
    wanted = {path: leaf for path, leaf in expected.items() if initial.takes(path)}
    forms = [{path: _shown(leaf) for path, leaf in paths.items()} for paths in (found, wanted)]
    other = [path for path in sorted({*found, *wanted}) if forms[0].get(path) != forms[1].get(path)]
    if other:
        there, here = (paths.get(other[0], "missing") for paths in forms)
        skip = dict.fromkeys([*initial.skip, *("/".join(path[1:-1] or path[1:]) for path in other)])
        remedy = f"To leave out what does not fit, so that it starts anew: --init_skip={','.join(skip)}."
        if all(is_under(path[1:], skip) for path in found):
            remedy = "No layer fits."
        raise InputError(
            f"--init_from={initial.source}: {'/'.join(other[0][1:])} is {there} there, and {here} in this model. "
            f"{remedy}"
        )


def require_fitting(learner: Learner) -> None:
    """Raises InputError, with file and line of the user's function, where one does not keep its promise."""
    images = jax.ShapeDtypeStruct((_IMAGES, *learner.spec.image_shape), jnp.uint8)
    labels = jax.ShapeDtypeStruct((_IMAGES,), jnp.int32)
    _require_train(learner)
    _require_schedule(learner)
    _require_optimizer_made(learner)
    require_fitting_images(learner)
    with user_errors("the task"):
        targets = jax.eval_shape(learner.targets, labels)
    _require_targets(learner, targets)
    _require_parameters(learner)
    _require_average(learner)
    logits = _logits(learner, images)
    _require_logits(learner, logits, targets)
    _require_per_image("the loss", learner.measures.loss, logits, targets)
    for mixing in _mixing(learner):
        _require_loss_of_mixtures(learner, logits, mixing)
    for name, metric in learner.measures.metrics.items():
        _require_per_image(f"the metric {name}", metric, learner.measures.main(logits), learner.measures.main(targets))
    _require_state(learner, images)
    _require_optimizer(learner)


def _require_train(learner: Learner) -> None:
    """Raises InputError where the model would never be told that it is in training."""
    takes = inspect.signature(type(learner.module).__call__).parameters
    other = next((name for name in ("training", "is_training", "deterministic") if name in takes), None)
    if other and "train" not in takes:
        raise InputError(
            f"{_model(learner)}takes {other}, which is never given. Name the argument train: it is true in training."
        )


def require_numbers(learner: Learner, split: Split) -> None:
    """Raises InputError where a task asks for classes that are not there, or a metric gives no number.

    The metrics are of the first images of the split and of logits of the initial parameters. Also where the run on this
    split would be over before its warm-up.
    """
    require_warmup(learner, len(split))
    _require_labels(learner, split)
    if not learner.measures.metrics:
        return
    first = split[: min(len(split), learner.batch_size)]
    state = compilation.jit(learner.create_state, runs_once=True)(0)
    logits = jax.device_get(compilation.jit(learner.apply, runs_once=True)(state.variables, first.images))
    score = learner.measures.score(logits, jax.tree.map(np.asarray, learner.targets(first.labels)))
    for name, metric in learner.measures.metrics.items():
        if not np.isfinite(score.metrics[name]):
            raise InputError(f"{defined_at(metric)}the metric {name} gives {score.metrics[name]} for the first images.")


def require_warmup(learner: Learner, examples: int) -> None:
    """Raises InputError where a run on so many images would be over before its warm-up."""
    steps = learner.epochs * -(-examples // min(learner.batch_size, examples))
    if learner.warmup_steps and learner.warmup_steps >= steps:
        raise InputError(
            f"--warmup_steps={learner.warmup_steps}: the whole run has {steps:,} steps. Take fewer, or more --epochs."
        )


def _require_labels(learner: Learner, split: Split) -> None:
    targets = jax.tree.map(np.asarray, learner.targets(split.labels))
    main, classes = learner.measures.main(targets), len(learner.spec.classes)
    if any(target.min() < 0 for target in jax.tree.leaves(targets)) or main.max() >= classes:
        raise InputError(
            f"{defined_at(learner.task.targets)}the targets of the task must be classes from 0; the main ones are from "
            f"{main.min()} to {main.max()}, and there are {classes} classes."
        )


def _require_targets(learner: Learner, targets: Any) -> None:
    where, main = defined_at(learner.task.targets), learner.measures.main_output
    if isinstance(targets, dict) != (main is not None) or (main is not None and main not in targets):
        outputs = f"has the outputs {', '.join(targets)}" if isinstance(targets, dict) else "has one output"
        raise InputError(f"{where}the task {outputs}, and main_output={main!r} does not name one of several outputs.")
    for target in jax.tree.leaves(targets):
        if target.shape != (_IMAGES,) or not jnp.issubdtype(target.dtype, jnp.integer):
            raise InputError(f"{where}the targets of the task must be integers [N]; they are {_shown(target)}.")


def _require_parameters(learner: Learner) -> None:
    if not jax.tree.leaves(learner.abstract_state[0].params):
        raise InputError(f"{_model(learner)}has no parameters: there is nothing to train.")


def _require_average(learner: Learner) -> None:
    averaging = learner.averaging(1) if learner.averaging else None
    if averaging is None:
        return
    params = learner.trained(learner.abstract_state[0].params)
    with user_errors("the average", averaging):
        average = jax.eval_shape(averaging, params, params, jax.ShapeDtypeStruct((), jnp.int32))
    if not _have_same_names(average, params) or _forms(average) != _forms(params):
        raise InputError(f"{defined_at(averaging)}the average must have the shapes and dtypes of the parameters.")


def _logits(learner: Learner, images: Any) -> Any:
    with user_errors("the model", type(learner.module)):
        logits = jax.eval_shape(learner.apply, learner.abstract_variables, images)
        trained = _in_training(learner, images)[0]
    if not _have_same_names(logits, trained):
        raise InputError(f"{_model(learner)}gives other outputs in training than in scoring.")
    return logits


def _in_training(learner: Learner, images: Any) -> tuple[Any, Any]:
    def apply(state: Any, images: Any) -> Any:
        mask, keys = jnp.ones(_IMAGES, bool), Keys.of_step(state.key, 1)
        inputs, _ = learner.augmented(images, keys.augmentation)
        return learner.apply_in_training(state.params, state.model_state, inputs, mask, keys.module)

    return jax.eval_shape(apply, learner.abstract_state[0], images)


def _model(learner: Learner) -> str:
    return f"{defined_at(type(learner.module))}the model "


def _require_logits(learner: Learner, logits: Any, targets: Any) -> None:
    if not _have_same_names(logits, targets):
        asked = f"a dict of {', '.join(targets)}" if isinstance(targets, dict) else "one array of logits"
        raise InputError(f"{_model(learner)}must give {asked}, as the task asks; it gives {_shown(logits)}.")
    main, wanted = learner.measures.main(logits), (_IMAGES, len(learner.spec.classes))
    for output in jax.tree.leaves(logits):
        if output.ndim != 2 or output.shape[0] != _IMAGES or not jnp.issubdtype(output.dtype, jnp.floating):
            raise InputError(f"{_model(learner)}must give logits, float [N, classes]; it gives {_shown(output)}.")
    if main.shape != wanted:
        raise InputError(
            f"{_model(learner)}must give one logit for each of the {wanted[1]} classes; it gives {main.shape[1]}."
        )


def _require_per_image(what: str, function: PerImage, logits: Any, targets: Any) -> None:
    for output, target in zip(jax.tree.leaves(logits), jax.tree.leaves(targets), strict=True):
        with user_errors(what, function):
            found = jax.eval_shape(function, output, target)
        if getattr(found, "shape", None) != (_IMAGES,) or found.dtype != jnp.float32:
            raise InputError(
                f"{defined_at(function)}{what} must give one number an image, float32 [N]; for N = {_IMAGES} it gives "
                f"{_shown(found)}."
            )


def require_augmentations(learner: Learner) -> None:
    """Raises InputError where an augmentation does not keep its promise, or where two of them mix images."""
    images = jax.ShapeDtypeStruct((_IMAGES, *learner.spec.image_shape), jnp.float32)
    for name, found in _augmented(learner).items():
        where = f"{defined_at(learner.augmentations[name])}the augmentation {name}"
        changed = found.images if isinstance(found, Mixed) else found
        if (getattr(changed, "shape", None), getattr(changed, "dtype", None)) != (images.shape, images.dtype):
            raise InputError(f"{where} must keep shape and dtype, {_shown(images)}; it gives {_shown(changed)}.")
        if isinstance(found, Mixed):
            _require_mixed(where, found)
    if len(mixing := _mixing(learner)) > 1:
        raise InputError(f"--augment: {' and '.join(mixing)} both mix images. Only one of them can.")


def _augmented(learner: Learner) -> dict[str, Any]:
    """What each augmentation gives, in shapes and dtypes."""
    images = jax.ShapeDtypeStruct((_IMAGES, *learner.spec.image_shape), jnp.float32)
    key, found = jax.eval_shape(lambda: jax.random.key(0)), {}
    for name, augment in learner.augmentations.items():
        with user_errors(f"the augmentation {name}", augment):
            found[name] = jax.eval_shape(augment, key, images)
    return found


def _mixing(learner: Learner) -> list[str]:
    """The augmentations that mix images."""
    return [name for name, found in _augmented(learner).items() if isinstance(found, Mixed)]


def _require_mixed(where: str, mixed: Mixed) -> None:
    for name, kind, word in (("partners", jnp.integer, "int32"), ("weight", jnp.floating, "float32")):
        part = getattr(mixed, name)
        if getattr(part, "shape", None) != (_IMAGES,) or not jnp.issubdtype(part.dtype, kind):
            raise InputError(f"{where}: the {name} of Mixed must be {word} [N]; they are {_shown(part)}.")


def _require_loss_of_mixtures(learner: Learner, logits: Any, mixing: str) -> None:
    """Raises InputError where the loss of an image depends on other images' labels: a mixture has two labels."""
    for output in jax.tree.leaves(logits):
        numbers = np.linspace(-1, 1, output.size, dtype=np.float32).reshape(output.shape)
        rows = np.arange(_IMAGES, dtype=np.int32)
        labels = [of % min(2, output.shape[1]) for of in (rows > _IMAGES // 2, rows)]  # both begin with 0
        with user_errors("the loss", learner.measures.loss):
            first, second = (np.asarray(jax.jit(learner.measures.loss)(numbers, of))[0] for of in labels)
        if not np.allclose(first, second, rtol=1e-3, equal_nan=True):
            raise InputError(
                f"{defined_at(learner.measures.loss)}the loss of an image depends on the labels of others, so it "
                f"cannot be used with --augment={mixing}, which gives each image two labels."
            )


def _require_state(learner: Learner, images: Any) -> None:
    """The module's other collections must keep their shapes from step to step."""
    before = learner.abstract_state[0].model_state
    with user_errors("the model", type(learner.module)):
        _, after = _in_training(learner, images)
    if _forms(before) != _forms(after):
        raise InputError(f"{_model(learner)}changes the shapes of {', '.join(before)} from step to step.")


def _require_schedule(learner: Learner) -> None:
    with user_errors("the schedule", learner.schedule):
        schedule = learner.schedule(1)
        if not callable(schedule):
            raise InputError(f"the schedule gives {schedule!r}; it must give a function of the step.")
        factor = jax.eval_shape(schedule, jax.ShapeDtypeStruct((), jnp.int32))
    if factor is None:
        raise InputError(f"{defined_at(learner.schedule)}the schedule gives None for a step, and no factor.")
    if getattr(factor, "shape", None) != ():
        raise InputError(f"{defined_at(learner.schedule)}the schedule must give one factor; it gives {_shown(factor)}.")


def _require_optimizer_made(learner: Learner) -> None:
    try:
        with user_errors("the optimizer", learner.optimizer):
            optimizer = learner.optimizer_for(learner.learning_rate, 1)
    except InputError as error:
        if "TypeError" in str(error) and "function" in str(error):
            raise InputError(
                f"{error}. The learning rate is a schedule, a function of the step, and no number: hand it to optax as "
                "it is. A factor of your own belongs into a schedule, or into optax.scale."
            ) from None
        raise
    if not isinstance(optimizer, optax.GradientTransformation):
        where, found = defined_at(learner.optimizer), type(optimizer).__name__
        if hasattr(optimizer, "gradient_transformation"):
            raise InputError(f"{where}the optimizer is {found}: give its .gradient_transformation().")
        raise InputError(f"{where}the optimizer must be one of optax; it is {found}.")


def _require_optimizer(learner: Learner) -> None:
    optimizer, state = learner.optimizer_for(learner.learning_rate, 1), learner.abstract_state[0]
    params = learner.trained(state.params)
    where = defined_at(learner.optimizer)
    if _holds(state.opt_state, contrib.ScheduleFreeState):
        raise InputError(f"{where}the optimizer scores other parameters than it trains (schedule-free); use --average.")

    try:
        with user_errors("the optimizer"):
            updates, opt_state = jax.eval_shape(optimizer.update, params, state.opt_state, params)
    except (TypeError, ValueError, AttributeError, InputError) as error:
        raise InputError(
            f"{where}the optimizer must work with gradients and parameters alone. One that needs the value of the loss "
            f"or pairs of parameters cannot be used ({str(error).partition(chr(10))[0]})."
        ) from None
    if not _have_same_names(updates, params):
        raise InputError(f"{where}the optimizer gives updates of other parameters than those of the model.")
    # Updates are cast to the dtype of the parameters.
    shapes = [[leaf.shape for leaf in jax.tree.leaves(tree)] for tree in (updates, params)]
    if shapes[0] != shapes[1] or _forms(opt_state) != _forms(state.opt_state):
        raise InputError(f"{where}the optimizer changes the shapes or dtypes of the parameters or of its own state.")


def _have_same_names(one: Any, other: Any) -> bool:
    """Whether two trees have the same structure."""
    forms: list[Any] = [jax.tree.structure(tree) for tree in (one, other)]
    return bool(forms[0] == forms[1])


def _holds(tree: Any, kind: type) -> bool:
    return any(isinstance(node, kind) for node in jax.tree.leaves(tree, is_leaf=lambda node: isinstance(node, kind)))


def _forms(tree: Any) -> dict[str, tuple[Any, Any]]:
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {jax.tree_util.keystr(path): (leaf.shape, leaf.dtype) for path, leaf in leaves}


def _shown(tree: Any) -> str:
    """Shapes and dtypes, as in `float32 (4, 10)`."""
    if isinstance(tree, dict):
        return "a dict of " + ", ".join(map(str, tree))
    return f"{tree.dtype} {tree.shape}" if hasattr(tree, "shape") else type(tree).__name__
