"""Stock linen layers with this project's operators: what a user's module calls is changed while it is traced.

`nn.Conv` computes with the operators of `operators.py`, which keep it on XLA's fast path inside a compiled loop.
`nn.BatchNorm` takes its statistics in training over real images alone, by `normalization.py`. Everything else is as
linen has it.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import jax.numpy as jnp
from flax import linen as nn
from jax import Array, lax

from cnn_jax.errors import InputError
from cnn_jax.ops import operators
from cnn_jax.ops.normalization import batch_norm

_NHWC = lax.ConvDimensionNumbers((0, 3, 1, 2), (3, 2, 0, 1), (0, 3, 1, 2))


def stock_layers(
    *,
    mask: Array | None = None,
    own_statistics: bool = False,
    is_frozen: Callable[[tuple[str, ...]], bool] = lambda path: False,
) -> AbstractContextManager[None]:
    """While this context is open, stock layers compute as the docstring of this file says.

    mask: bool [N], the rows of the batch that are real images; None means all. own_statistics: the running averages of
    a BatchNorm become the statistics of this batch alone, and nothing is dropped. is_frozen: path of a module ->
    whether it is left as it is: a BatchNorm then uses its running averages in training too, as in Keras.
    """

    def around(next_function: Any, args: Any, kwargs: Any, context: nn.module.InterceptorContext) -> Any:
        module = context.module
        if context.method_name != "__call__":
            return next_function(*args, **kwargs)
        if own_statistics and isinstance(module, nn.Dropout):
            return args[0]
        # Such a module is a copy that only this call sees.
        if isinstance(module, nn.Conv):
            object.__setattr__(module, "conv_general_dilated", module.conv_general_dilated or _convolution)
        if isinstance(module, nn.BatchNorm):
            _require_no_axis(module)
            if is_frozen(module.path):
                object.__setattr__(module, "use_running_average", True)
                return next_function(*args[:1], **{name: kwargs[name] for name in kwargs if name in ("x", "mask")})
            if own_statistics:
                object.__setattr__(module, "momentum", 0.0)
            return _batch_norm(next_function, module, mask, *args, **kwargs)
        return next_function(*args, **kwargs)

    return nn.intercept_methods(around)


def _require_no_axis(module: nn.BatchNorm) -> None:
    if module.axis_name is not None:
        raise InputError(
            f"{module.name}: BatchNorm's axis_name={module.axis_name!r} has no meaning here: the devices share a "
            "batch, and its statistics are over the whole batch already. Leave it out."
        )


def _batch_norm(
    stock: Any,
    module: nn.BatchNorm,
    of_batch: Array | None,
    x: Array,
    use_running_average: bool | None = None,
    *,
    mask: Array | None = None,
) -> Array:
    """What a BatchNorm gives: by our operator in the common form, else by linen's own with a mask.

    of_batch: the rows of the batch that are real images. mask: the caller's own.
    """
    scores = nn.merge_param("use_running_average", module.use_running_average, use_running_average)
    rows = _rows(of_batch, x.shape[0])
    if scores or module.is_initializing() or mask is not None:
        return stock(x, use_running_average, mask=mask)
    is_common = module.axis in (-1, x.ndim - 1) and module.use_fast_variance and module.force_float32_reductions
    if is_common:
        return _normalized(module, x, rows)
    return stock(x, use_running_average, mask=jnp.reshape(rows, (-1,) + (1,) * (x.ndim - 1)))


def _rows(mask: Array | None, count: int) -> Array:
    """The rows that are of real images: bool [count]. Several rows may be of one image, as after a reshape."""
    if mask is None or count % mask.shape[0]:
        return jnp.ones(count, bool)
    return jnp.repeat(mask, count // mask.shape[0]) if count != mask.shape[0] else mask


def _normalized(module: nn.BatchNorm, x: Array, rows: Array) -> Array:
    """What a BatchNorm gives in training; it updates the running averages."""
    ones = jnp.ones(x.shape[-1], jnp.float32)
    scale = module.get_variable("params", "scale") if module.use_scale else ones
    bias = module.get_variable("params", "bias") if module.use_bias else 0 * ones
    wide = scale.astype(jnp.float32), bias.astype(jnp.float32)
    outputs, mean, variance = batch_norm(x, *wide, rows, module.epsilon)
    for name, new in (("mean", mean), ("var", variance)):
        old: Array = module.get_variable("batch_stats", name)
        module.put_variable("batch_stats", name, module.momentum * old + (1 - module.momentum) * new)
    return outputs.astype(module.dtype or jnp.result_type(x, scale))


def _convolution(
    images: Array,
    kernel: Array,
    window_strides: Sequence[int],
    padding: str | Sequence[tuple[int, int]],
    *,
    lhs_dilation: Sequence[int],
    rhs_dilation: Sequence[int],
    dimension_numbers: lax.ConvDimensionNumbers,
    feature_group_count: int,
    precision: Any,
) -> Array:
    """`lax.conv_general_dilated` by our operators, where they have the form that is asked for."""
    is_plain = images.ndim == 4 and dimension_numbers == _NHWC and len(set(window_strides)) == 1
    is_dense = {*lhs_dilation, *rhs_dilation} == {1} and precision is None
    if not (is_plain and is_dense and jnp.issubdtype(images.dtype, jnp.floating)):
        return lax.conv_general_dilated(
            images, kernel, window_strides, padding, lhs_dilation, rhs_dilation, dimension_numbers,
            feature_group_count, precision=precision,
        )  # fmt: skip
    return operators.convolution(images, kernel, stride=window_strides[0], padding=padding, groups=feature_group_count)
