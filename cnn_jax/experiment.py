"""From a Config's names to functions: the model, its task, the optimizer and the schedule."""

import dataclasses

import jax.numpy as jnp
from flax import linen as nn

from cnn_jax.config import FIELDS, Config
from cnn_jax.data.dataset import Spec
from cnn_jax.data.tasks import TASKS
from cnn_jax.errors import InputError, unknown_name
from cnn_jax.models import MODELS
from cnn_jax.training.learner import Learner
from cnn_jax.training.optimizers import OPTIMIZERS, SCHEDULES


def build(config: Config, spec: Spec, *, fused: bool = True) -> Learner:
    """The learner that a Config names, for a dataset. It makes no array and compiles nothing.

    fused: as in `build_module`. Raises InputError on an unknown name, on settings that the model does not have, and on
    images that are too small for its layers.
    """
    learner = Learner(
        module=build_module(config, len(spec.classes), fused=fused),
        task=TASKS[config.view],
        spec=spec,
        optimizer=OPTIMIZERS[config.optimizer],
        schedule=SCHEDULES[config.schedule],
        learning_rate=config.learning_rate,
        epochs=config.epochs,
        batch_size=config.batch_size,
        matmul_precision=config.matmul_precision,
    )
    learner.require_fitting_images()
    return learner


def build_module(config: Config, classes: int, *, fused: bool = False) -> nn.Module:
    """The linen module that a Config names. Each field of the module that Config has too is set from it.

    fused: the module may compute several layers together, which is fast; otherwise it computes them one by one, so that
    each can be looked at. Raises InputError on an unknown model, and on settings that the model does not have.
    """
    if config.model not in MODELS:
        raise unknown_name("--model", config.model, "model", MODELS)
    kind = MODELS[config.model]
    _require_task(config, kind)
    own = {field.name for field in dataclasses.fields(kind)}
    for name, field in FIELDS.items():
        if field.metadata.get("part") == "model" and name not in own and getattr(config, name) != field.default:
            raise InputError(f"--{name}: the model {config.model} has no such setting.")
    settings = {name: getattr(config, name) for name in FIELDS if name in own and getattr(config, name) is not None}
    settings |= {"classes": classes, "dtype": jnp.dtype(config.dtype)} | ({"fused": fused} if "fused" in own else {})
    return kind(**settings)


def _require_task(config: Config, kind: type[nn.Module]) -> None:
    tasks = getattr(kind, "tasks", ("plain", "permuted"))
    if config.view not in tasks:
        raise InputError(f"--view={config.view}: the model {config.model} needs --view={' or --view='.join(tasks)}.")
