"""Optimizers from optax, clipping, and averages of the parameters."""

from collections.abc import Callable, Mapping
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import optax
from jax import Array
from optax import contrib

from cnn_jax.errors import unknown_name
from cnn_jax.settings import About

Share = Annotated[float, About(at_least=0.0, at_most=1.0)]
Positive = Annotated[float, About(above=0.0)]
Decay = Annotated[float, About("pull what weight_decay_mask means to 0 at this rate", at_least=0.0)]
DecayMask = Annotated[
    tuple[str, ...],
    About(
        "decay what has these names, as in kernel,Dense_0/bias, or all; (): what has two or more axes, so no bias "
        "and no norm",
        pattern=r"[^\s/,]+(/[^\s/,]+)*",
    ),
]

# average, parameters after a step, number of the step from 1 -> the next average
Averaging = Callable[[Any, Any, Array], Any]


def rmsprop(
    learning_rate: optax.Schedule, decay: Share = 0.9, epsilon: Positive = 1e-7
) -> optax.GradientTransformation:
    """Keras's RMSprop: epsilon inside the root, moments that start at zero."""
    return optax.rmsprop(learning_rate, decay=decay, eps=epsilon, eps_in_sqrt=True, initial_scale=0.0)


def sgd(
    learning_rate: optax.Schedule, weight_decay: Decay = 0.0, weight_decay_mask: DecayMask = ()
) -> optax.GradientTransformation:
    """Stochastic gradient descent."""
    return _after_decay(weight_decay, weight_decay_mask, optax.sgd(learning_rate))


def momentum(
    learning_rate: optax.Schedule,
    momentum: Share = 0.9,
    nesterov: bool = False,
    weight_decay: Decay = 0.0,
    weight_decay_mask: DecayMask = (),
) -> optax.GradientTransformation:
    """Stochastic gradient descent with momentum. The weight decay is added to the gradients, as in PyTorch."""
    optimizer = optax.sgd(learning_rate, momentum=momentum, nesterov=nesterov)
    return _after_decay(weight_decay, weight_decay_mask, optimizer)


def adam(
    learning_rate: optax.Schedule, b1: Share = 0.9, b2: Share = 0.999, eps: Positive = 1e-8, nesterov: bool = False
) -> optax.GradientTransformation:
    """Adam, with optax's defaults; with Nesterov's momentum it is optax's NAdam."""
    return optax.adam(learning_rate, b1=b1, b2=b2, eps=eps, nesterov=nesterov)


def adamw(
    learning_rate: optax.Schedule,
    b1: Share = 0.9,
    b2: Share = 0.999,
    eps: Positive = 1e-8,
    weight_decay: Decay = 1e-4,
    weight_decay_mask: DecayMask = (),
    nesterov: bool = False,
) -> optax.GradientTransformation:
    """Adam with decoupled weight decay, with optax's defaults; with Nesterov's momentum it is optax's NAdamW."""
    mask = decay_mask(weight_decay_mask)
    return optax.adamw(learning_rate, b1=b1, b2=b2, eps=eps, weight_decay=weight_decay, mask=mask, nesterov=nesterov)


def lion(
    learning_rate: optax.Schedule,
    b1: Share = 0.9,
    b2: Share = 0.99,
    weight_decay: Decay = 1e-3,
    weight_decay_mask: DecayMask = (),
) -> optax.GradientTransformation:
    """The sign of a momentum. It wants a learning rate 3 to 10 times smaller than Adam's, and more weight decay.

    Chen et al., "Symbolic Discovery of Optimization Algorithms" (2023); optax's defaults.
    """
    return optax.lion(learning_rate, b1=b1, b2=b2, weight_decay=weight_decay, mask=decay_mask(weight_decay_mask))


def muon(
    learning_rate: optax.Schedule,
    beta: Annotated[float, About("of the momentum", at_least=0.0, at_most=1.0)] = 0.95,
    nesterov: bool = True,
    ns_steps: Annotated[int, About("of Newton and Schulz's iteration", at_least=1, at_most=100)] = 5,
    consistent_rms: Annotated[
        float | None, About("the size of the updates, as Adam's of about 0.2; none: as in Jordan (2024)", above=0.0)
    ] = 0.2,
    weight_decay: Decay = 0.0,
    weight_decay_mask: DecayMask = (),
) -> optax.GradientTransformation:
    """Momentum whose matrices are made orthogonal; biases, norms and other vectors are trained by Adam.

    A kernel is a matrix of its inputs by its outputs: [height x width x inputs, outputs] for a convolution. Jordan,
    "Muon" (2024); Liu et al., "Muon is Scalable for LLM Training" (2025), for `consistent_rms`: one learning rate then
    serves Muon and Adam. optax.contrib.muon.
    """
    # At a rate of -1, optax gives the direction. The rate comes last, so that one mask decides for Muon and for Adam.
    direction = contrib.muon(
        -1.0,
        ns_steps=ns_steps,
        beta=beta,
        nesterov=nesterov,
        consistent_rms=consistent_rms,
        muon_weight_dimension_numbers=lambda params: jax.tree.map(_as_matrix, params),
    )
    decay = optax.add_decayed_weights(weight_decay, decay_mask(weight_decay_mask))
    return optax.chain(direction, decay, optax.scale_by_learning_rate(learning_rate))


def _as_matrix(leaf: Array) -> contrib.MuonDimensionNumbers | None:
    """How Muon sees a parameter: rows are all axes but the last. None for a vector, which Adam trains."""
    inputs = tuple(range(leaf.ndim - 1))
    return contrib.MuonDimensionNumbers(inputs, leaf.ndim - 1) if inputs else None


def _after_decay(
    amount: float, names: tuple[str, ...], optimizer: optax.GradientTransformation
) -> optax.GradientTransformation:
    """The optimizer of gradients to which weight decay is added; the optimizer alone where none is asked for."""
    return (
        optax.chain(optax.add_decayed_weights(amount, decay_mask(names)), optimizer) if amount or names else optimizer
    )


def decay_mask(names: tuple[str, ...]) -> Callable[[Any], Any] | None:
    """Which parameters weight decay changes, as optax takes it: a function of the parameters, or None for all.

    names: of layers or parameters, as `kernel`, `Conv_0` or `Dense_0/bias`, or `all`; none of them means parameters of
    two or more axes. The function raises InputError on a name that no trained parameter has.
    """
    if set(names) == {"all"}:
        return None

    def mask(params: Any) -> Any:
        paths = {_path(path) for path, _ in jax.tree_util.tree_leaves_with_path(params)}
        for name in names:
            if not any(_has_name(path, name) for path in paths):
                known = {part for path in paths for part in (path, *path.split("/"))}
                raise unknown_name("--optimizer.weight_decay_mask", name, "parameter that is trained", {*known, "all"})
        return jax.tree_util.tree_map_with_path(
            lambda path, leaf: any(_has_name(_path(path), name) for name in names) if names else leaf.ndim > 1, params
        )

    return mask


def _path(keys: Any) -> str:
    """The name of a parameter, as `Conv_0/kernel`."""
    return jax.tree_util.keystr(keys, simple=True, separator="/")


def _has_name(path: str, name: str) -> bool:
    """Whether a name of a layer or parameter, or `all`, means this parameter."""
    return name == "all" or f"/{name}/" in f"/{path}/"


# (learning rate as a function of the step, **settings) -> optimizer
OPTIMIZERS: Mapping[str, Callable[..., optax.GradientTransformation]] = {
    "rmsprop": rmsprop,
    "sgd": sgd,
    "momentum": momentum,
    "adam": adam,
    "adamw": adamw,
    "lion": lion,
    "muon": muon,
}


def clipping(norm: float | None, value: float | None) -> optax.GradientTransformation:
    """Clips each number of the gradients to [-value, value], and then their L2 norm; None: not. It has no state."""
    by_value = optax.identity() if value is None else optax.clip(value)
    by_norm = optax.identity() if norm is None else optax.clip_by_global_norm(norm)
    return optax.chain(by_value, by_norm)


def none() -> None:
    """No average: the parameters after the last step are scored."""


def ema(decay: Share = 0.999) -> Averaging:
    """The exponential moving average. In the first steps the decay is smaller, (1 + step) / (10 + step)."""

    def update(average: Any, params: Any, step: Array) -> Any:
        kept = jnp.minimum(decay, (1 + step) / (10 + step))
        return jax.tree.map(lambda old, new: kept * old + (1 - kept) * new, average, params)

    return update


def swa(steps: int, start: Share = 0.75) -> Averaging:
    """The mean of the parameters after each step, from this share of all steps on.

    After Izmailov et al., "Averaging Weights Leads to Wider Optima and Better Generalization" (2018), who average the
    parameters after each epoch.
    """
    first = int(start * steps)

    def update(average: Any, params: Any, step: Array) -> Any:
        count = jnp.maximum(step - first, 1)
        return jax.tree.map(lambda old, new: old + (new - old) / count, average, params)

    return update


# (all steps of the run, only where it is taken, **settings) -> averaging; None: no average is kept
AVERAGES: Mapping[str, Callable[..., Averaging | None]] = {"none": none, "ema": ema, "swa": swa}
