"""Functions compiled in one piece and fast, as training runs them in one piece: by themselves they compile slowly."""

import functools
from collections.abc import Callable
from typing import Any

from cnn_jax import compilation


@functools.cache
def quick(function: Callable, **settings: Any) -> Callable:
    """The function with these settings, compiled."""
    return compilation.jit(functools.partial(function, **settings), runs_once=True)
