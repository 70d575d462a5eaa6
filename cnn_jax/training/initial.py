"""The variables that training starts from, where these are not the module's own: those of another run, or a part."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from cnn_jax.errors import InputError, unknown_name
from cnn_jax.training.prefixes import Path, is_under, possible_prefixes


@dataclass(frozen=True, eq=False)
class InitialVariables:
    """Variables of another run. variables: those that are taken, as arrays by collection.

    prefix, skip: the prefixes by which they were chosen. left_out: paths of the others. source: the run, for people.
    """

    variables: dict[str, Any]
    prefix: tuple[str, ...]
    skip: tuple[str, ...]
    left_out: tuple[Path, ...]
    source: str

    def takes(self, path: Path) -> bool:
        """Whether the variable at this path, collection first, is to be taken."""
        return _is_chosen(path, self.prefix, self.skip)

    def __str__(self) -> str:
        """The run and the names that are taken, as in `runs/pretrained (Conv_0, Conv_1)`."""
        return f"{self.source} ({', '.join(possible_prefixes(self.variables))})"

    @cached_property
    def digest(self) -> str:
        """What identifies the variables: a hash of their names, dtypes, shapes and bits."""
        sha = hashlib.sha256()
        for path, leaf in sorted(flatten_dict(self.variables).items()):
            sha.update(repr((path, str(leaf.dtype), leaf.shape)).encode() + np.ascontiguousarray(leaf).tobytes())
        return sha.hexdigest()[:16]


def choose(
    variables: dict[str, Any], prefix: Iterable[str] = (), skip: Iterable[str] = (), source: str = "the given variables"
) -> InitialVariables:
    """Those of the variables that one of `prefix` means, or all, without those that one of `skip` means.

    Raises InputError where a prefix means none of them.
    """
    prefix, skip = tuple(prefix), tuple(skip)
    if "params" not in variables:
        raise InputError(f"--init_from={source}: has no params. Give all variables, as in run.variables.")
    flat = {path: np.asarray(leaf) for path, leaf in flatten_dict(variables).items()}
    for one in prefix:
        if not any(is_under(path[1:], [one]) for path in flat):
            raise unknown_name("--init_prefix", one, f"layer or parameter of {source}", possible_prefixes(variables))
    taken = {path: leaf for path, leaf in flat.items() if _is_chosen(path, prefix, skip)}
    if not taken:
        raise InputError(f"--init_from={source}: no parameter is left to start from. Skip fewer: --init_skip.")
    return InitialVariables(unflatten_dict(taken), prefix, skip, tuple(flat.keys() - taken.keys()), source)


def _is_chosen(path: Path, prefix: Iterable[str], skip: Iterable[str]) -> bool:
    return (not prefix or is_under(path[1:], prefix)) and not is_under(path[1:], skip)
