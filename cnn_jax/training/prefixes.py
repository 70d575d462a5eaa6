"""Variables by their names, as in `Conv_0/kernel`, and by prefixes of these: `Conv_0` means everything in that layer.

A prefix is made of whole names between slashes: `Conv_1` does not mean `Conv_10`. The collection is no part of a name,
so `BatchNorm_0` also means the statistics of that layer.
"""

from collections.abc import Collection, Iterable

from flax.traverse_util import flatten_dict, unflatten_dict

Path = tuple[str, ...]


def is_under(path: Path, prefixes: Iterable[str]) -> bool:
    """Whether a prefix means what is at this path. path: without the collection."""
    return any(path[: prefix.count("/") + 1] == tuple(prefix.split("/")) for prefix in prefixes)


def partition(tree: dict, prefixes: Collection[str]) -> tuple[dict, dict]:
    """The variables of a collection that no prefix means, and those that one means."""
    if not prefixes:
        return tree, {}
    parts: tuple[dict, dict] = {}, {}
    for path, leaf in flatten_dict(tree).items():
        parts[is_under(path, prefixes)][path] = leaf
    return unflatten_dict(parts[False]), unflatten_dict(parts[True])


def merged(tree: dict, others: dict) -> dict:
    """The tree with these variables added, or in place of its own."""
    return unflatten_dict({**flatten_dict(tree), **flatten_dict(others)}) if others else tree


def possible_prefixes(variables: dict) -> list[str]:
    """The prefixes that mean a layer or a module, in alphabetical order; a variable in no layer stands for itself."""
    paths = {path[1:] for path in flatten_dict(variables)}
    return sorted({"/".join(path[:length]) for path in paths for length in range(1, max(2, len(path)))})
