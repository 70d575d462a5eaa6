"""The graph of any model: its layers, the operations between them, and which of them reads which.

The graph comes from a jaxpr of the module. While the module is traced, every call of a layer has a named scope with its
number. Equations in the scope belong to the layer; all other equations are operations of the model, such as a ReLU or
an addition.
"""

import functools
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import jax
from flax import linen as nn
from jax.ad_checkpoint import checkpoint_name
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn, Literal

from cnn_jax.models.summary import call_name, innermost, train_argument

_SCOPE = "cnn_jax.models.graph"  # distinguishes our scopes from those of modules

# Operations that change how numbers are stored, but not the numbers: they become no nodes.
_FORM_ONLY = frozenset(
    ("name", "convert_element_type", "broadcast_in_dim", "squeeze", "copy", "stop_gradient", "optimization_barrier")
)


@dataclass(frozen=True)
class Node:
    """A part of a model. kind: "input", "layer", "operation" or "output".

    name: of a layer, its name in the summary, followed by "(call 2)" where it is called a second time; of an operation,
    its name in jax. shape: of its first result, without the batch. settings: jax's parameters of an operation.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    settings: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True)
class Graph:
    """Nodes in the order of computation, and edges (source, target) between their indices."""

    nodes: Sequence[Node]
    edges: Sequence[tuple[int, int]]

    def sources(self, index: int) -> list[int]:
        """The indices of the nodes that a node reads."""
        return [source for source, target in self.edges if target == index]

    def record(self) -> dict[str, list]:
        """The graph as plain values, for a drawing."""
        nodes = [{"name": node.name, "kind": node.kind, "shape": node.shape} for node in self.nodes]
        return {"nodes": nodes, "edges": list(self.edges)}


def trace_graph(module: nn.Module, inputs: Any) -> Graph:
    """Traces a module and returns its graph; no layer is run. inputs: shapes and dtypes, as in `summary.layers`."""
    train = train_argument(module, is_training=False)
    variables = jax.eval_shape(functools.partial(module.init, **train), jax.random.key(0), inputs)
    calls: list[tuple[str, ...]] = []
    with nn.intercept_methods(_numbering(calls)):
        trace, outputs = jax.make_jaxpr(functools.partial(module.apply, **train), return_shape=True)(variables, inputs)
    builder = _Builder(calls)
    nodes = [builder.add(Node(_name(path, "input"), "input", leaf.shape[1:]), []) for path, leaf in _leaves(inputs)]
    params = [None] * (len(trace.jaxpr.invars) - len(nodes))
    results = builder.follow(trace.jaxpr, [*params, *nodes])
    for (path, leaf), origin in zip(_leaves(outputs), results, strict=True):
        builder.add(Node(_name(path, "output"), "output", leaf.shape[1:]), [origin])
    return builder.graph()


def _leaves(tree: Any) -> list[tuple[Any, Any]]:
    return jax.tree_util.tree_leaves_with_path(tree)


def _name(path: Any, default: str) -> str:
    return jax.tree_util.keystr(path, simple=True, separator="/") or default


def _numbering(calls: list[tuple[str, ...]]) -> Any:
    """An interceptor that gives every call a scope with its number, and adds its path to `calls`."""

    def named(leaf: Any) -> Any:
        return checkpoint_name(leaf, "output") if isinstance(leaf, jax.Array) else leaf

    def around(next_function: Any, args: Any, kwargs: Any, context: nn.module.InterceptorContext) -> Any:
        if context.method_name != "__call__" or not context.module.path:
            return next_function(*args, **kwargs)
        calls.append(context.module.path)
        with jax.named_scope(f"{_SCOPE}:{len(calls) - 1}"):
            # The name is an equation, so that a layer that returns its input has one too.
            return jax.tree.map(named, next_function(*args, **kwargs))

    return around


_Origin = int | None  # the index of a node; None: it does not depend on the inputs


class _Builder:
    """Follows values through a jaxpr and notes the origin of each."""

    def __init__(self, calls: Sequence[tuple[str, ...]]):
        inner = innermost(calls)
        self.layers = {call: path for call, path in enumerate(calls) if path in inner}
        self.nodes: list[Node] = []
        self.edges: dict[tuple[int, int], None] = {}
        self.node_of: dict[int, int] = {}  # the number of a layer's call -> the index of its node
        self.call_counts: Counter[tuple[str, ...]] = Counter()

    def graph(self) -> Graph:
        """The graph, without operations whose result nothing reads."""
        kept: set[int] = set()
        for index in reversed(range(len(self.nodes))):
            is_read = any(source == index and target in kept for source, target in self.edges)
            if self.nodes[index].kind != "operation" or is_read:
                kept.add(index)
        new_index = {old: new for new, old in enumerate(sorted(kept))}
        edges = [(new_index[a], new_index[b]) for a, b in self.edges if a in new_index and b in new_index]
        return Graph([self.nodes[index] for index in new_index], edges)

    def add(self, node: Node, origins: Sequence[_Origin]) -> int:
        """Adds a node that reads these origins; returns its index."""
        self.nodes.append(node)
        self._connect(origins, len(self.nodes) - 1)
        return len(self.nodes) - 1

    def _connect(self, origins: Sequence[_Origin], index: int) -> None:
        self.edges |= {(origin, index): None for origin in origins if origin not in (None, index)}

    def follow(self, jaxpr: Jaxpr, origins: Sequence[_Origin]) -> list[_Origin]:
        """The origins of a jaxpr's results. origins: those of its arguments."""
        known = dict(zip(jaxpr.invars, origins, strict=True))

        def origin(atom: Any) -> _Origin:
            return None if isinstance(atom, Literal) else known.get(atom)

        for equation in jaxpr.eqns:
            result = self._apply(equation, [origin(atom) for atom in equation.invars])
            known |= dict(zip(equation.outvars, result, strict=True))
        return [origin(atom) for atom in jaxpr.outvars]

    def _apply(self, equation: JaxprEqn, origins: list[_Origin]) -> list[_Origin]:
        body = _body(equation)
        layer_calls = [call for call in _calls_around(equation) if call in self.layers]
        if layer_calls:
            result: _Origin = self._inside_layer(layer_calls[0], _shape(equation), origins)
        elif body and len(body.invars) == len(equation.invars) and _has_calls(body):
            return self.follow(body, origins)
        else:
            result = self._operation(equation, [origin for origin in origins if origin is not None])
        return [result] * len(equation.outvars)

    def _operation(self, equation: JaxprEqn, sources: list[int]) -> _Origin:
        if not sources:
            return None
        if equation.primitive.name in _FORM_ONLY:
            return sources[0]
        return self.add(Node(_operation_name(equation), "operation", _shape(equation), equation.params), sources)

    def _inside_layer(self, call: int, shape: tuple[int, ...], origins: list[_Origin]) -> int:
        """The index of the layer's node, which reads these origins too. shape: of the last equation so far."""
        if call not in self.node_of:
            path = self.layers[call]
            self.call_counts[path] += 1
            self.node_of[call] = self.add(Node(call_name(path, self.call_counts[path]), "layer", shape), [])
        index = self.node_of[call]
        self._connect(origins, index)
        self.nodes[index] = replace(self.nodes[index], shape=shape)
        return index


def _shape(equation: JaxprEqn) -> tuple[int, ...]:
    """The shape of the first result, without the batch."""
    return tuple(getattr(equation.outvars[0].aval, "shape", ()))[1:]


def _calls_around(equation: JaxprEqn) -> list[int]:
    """The numbers of the calls whose scopes an equation is in."""
    return [int(number) for number in re.findall(rf"{_SCOPE}:(\d+)", str(equation.source_info.name_stack))]


def _body(equation: JaxprEqn) -> Jaxpr | None:
    """The jaxpr inside an equation, such as that of a function under jit; None where there is none."""
    for value in equation.params.values():
        if isinstance(value, ClosedJaxpr | Jaxpr):
            return value.jaxpr if isinstance(value, ClosedJaxpr) else value
    return None


def _has_calls(jaxpr: Jaxpr) -> bool:
    bodies = [body for body in map(_body, jaxpr.eqns) if body]
    return any(map(_calls_around, jaxpr.eqns)) or any(map(_has_calls, bodies))


def _operation_name(equation: JaxprEqn) -> str:
    """The function's own name where jax keeps it, such as relu; otherwise the primitive's name."""
    body = _body(equation)
    if body and "name" not in equation.params and len(body.eqns) == 1:
        return _operation_name(body.eqns[0])
    return str(equation.params.get("name", equation.primitive.name)).strip("_")
