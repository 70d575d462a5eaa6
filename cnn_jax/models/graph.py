"""A model's graph, read off a trace of the real module: its layers, the operations between them, and what flows where.

Every call of a layer marks its inputs and its outputs while the module is traced. In the trace, whatever lies between
the marks is the layer's own affair; what lies outside is an operation of the model: a ReLU, an addition.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
from flax import linen as nn
from jax.ad_checkpoint import checkpoint_name
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn, Literal

from cnn_jax.models.summary import innermost

_MARK = "cnn_jax.models.graph"  # names of our own, apart from those that a module gives for rematerialization

# Operations that change how numbers are held, not which: they are no nodes.
_FORM_ONLY = frozenset(
    ("name", "convert_element_type", "broadcast_in_dim", "squeeze", "copy", "stop_gradient", "optimization_barrier")
)


@dataclass(frozen=True)
class Node:
    """An input, a layer, an operation or an output of a model, as `kind` says.

    name: a layer's as in the summary, with "(call 2)" behind it where it is called again; an operation's as jax has it.
    shape: of its first result, without the batch. settings: what jax calls an operation with.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    settings: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True)
class Graph:
    """Nodes in the order of their computation, and edges (from, to) between places in it."""

    nodes: Sequence[Node]
    edges: Sequence[tuple[int, int]]

    def sources(self, place: int) -> list[int]:
        """The nodes that a node reads."""
        return [source for source, target in self.edges if target == place]

    def record(self) -> dict[str, list]:
        """Plain values, to draw."""
        nodes = [{"name": node.name, "kind": node.kind, "shape": node.shape} for node in self.nodes]
        return {"nodes": nodes, "edges": list(self.edges)}


def graph(module: nn.Module, inputs: Any) -> Graph:
    """The graph of a module; nothing is computed. inputs: shapes and dtypes, as `summary.layers` takes them."""
    variables = jax.eval_shape(module.init, jax.random.key(0), inputs)
    calls: list[tuple[str, ...]] = []
    with nn.intercept_methods(_marking(calls)):
        trace, outputs = jax.make_jaxpr(module.apply, return_shape=True)(variables, inputs)
    builder = _Builder(calls)
    given = [builder.add(Node(_name(path, "input"), "input", leaf.shape[1:]), []) for path, leaf in _leaves(inputs)]
    unknown = [None] * (len(trace.jaxpr.invars) - len(given))
    results = builder.follow(trace.jaxpr, [*unknown, *given])
    for (path, leaf), origin in zip(_leaves(outputs), results, strict=True):
        builder.add(Node(_name(path, "output"), "output", leaf.shape[1:]), [origin])
    return builder.graph()


def call_name(path: Sequence[str], call: int) -> str:
    """What the call-th call of a layer is named, counted from 1."""
    return "/".join(path) + (f" (call {call})" if call > 1 else "")


def _leaves(tree: Any) -> list[tuple[Any, Any]]:
    return jax.tree_util.tree_leaves_with_path(tree)


def _name(path: Any, otherwise: str) -> str:
    return jax.tree_util.keystr(path, simple=True, separator="/") or otherwise


def _marking(calls: list[tuple[str, ...]]) -> Any:
    """An interceptor that marks every module's inputs and outputs with the number of the call, and notes its path."""

    def mark(tree: Any, side: str, call: int) -> Any:
        name = f"{_MARK}:{side}:{call}"
        return jax.tree.map(lambda leaf: checkpoint_name(leaf, name) if isinstance(leaf, jax.Array) else leaf, tree)

    def around(next_function: Any, args: Any, kwargs: Any, context: nn.module.InterceptorContext) -> Any:
        if context.method_name != "__call__" or not context.module.path:
            return next_function(*args, **kwargs)
        call = len(calls)
        calls.append(context.module.path)
        args, kwargs = mark((args, kwargs), "in", call)
        return mark(next_function(*args, **kwargs), "out", call)

    return around


@dataclass(frozen=True)
class _Inside:
    """Where a value comes from that a layer computes for itself: the number of the layer's call."""

    call: int


_Origin = int | _Inside | None  # a node, or the inside of a layer, or nothing that depends on the inputs


class _Builder:
    """Follows values through a trace; each has one origin."""

    def __init__(self, calls: Sequence[tuple[str, ...]]):
        inner = innermost(calls)
        self.layers = {call: path for call, path in enumerate(calls) if path in inner}
        self.nodes: list[Node] = []
        self.edges: dict[tuple[int, int], None] = {}
        self.seen: dict[int, int] = {}  # a layer's call, and the node that it became
        self.count: Counter[tuple[str, ...]] = Counter()

    def graph(self) -> Graph:
        """What was built, without operations that nothing reads."""
        kept: set[int] = set()
        for place in reversed(range(len(self.nodes))):
            is_read = any(source == place and target in kept for source, target in self.edges)
            if self.nodes[place].kind != "operation" or is_read:
                kept.add(place)
        number = {place: index for index, place in enumerate(sorted(kept))}
        edges = [(number[a], number[b]) for a, b in self.edges if a in number and b in number]
        return Graph([self.nodes[place] for place in number], edges)

    def add(self, node: Node, origins: Sequence[_Origin]) -> int:
        """Adds a node that reads these origins; returns its place."""
        self.nodes.append(node)
        return self._join(len(self.nodes) - 1, origins)

    def _join(self, place: int, origins: Sequence[_Origin]) -> int:
        self.edges |= {(origin, place): None for origin in origins if isinstance(origin, int)}
        return place

    def follow(self, jaxpr: Jaxpr, origins: Sequence[_Origin]) -> list[_Origin]:
        """The origins of a trace's results, for those of its arguments."""
        known = dict(zip(jaxpr.invars, origins, strict=True))

        def origin(atom: Any) -> _Origin:
            return None if isinstance(atom, Literal) else known.get(atom)

        for equation in jaxpr.eqns:
            result = self._apply(equation, [origin(atom) for atom in equation.invars])
            known |= dict(zip(equation.outvars, result, strict=True))
        return [origin(atom) for atom in jaxpr.outvars]

    def _apply(self, equation: JaxprEqn, origins: list[_Origin]) -> list[_Origin]:
        mark = _mark_of(equation)
        if mark and mark[1] in self.layers:
            return [self._cross(*mark, _shape(equation), origins)]
        body = _body(equation)
        if body and len(body.invars) == len(equation.invars) and _has_marks(body):
            return self.follow(body, origins)
        return [self._operation(equation, [origin for origin in origins if origin is not None])] * len(equation.outvars)

    def _operation(self, equation: JaxprEqn, sources: list[_Origin]) -> _Origin:
        inside = [origin for origin in sources if isinstance(origin, _Inside)]
        if inside or not sources:
            return inside[0] if inside else None
        if equation.primitive.name in _FORM_ONLY:
            return sources[0]
        return self.add(Node(_operation_name(equation), "operation", _shape(equation), equation.params), sources)

    def _cross(self, side: str, call: int, shape: tuple[int, ...], origins: list[_Origin]) -> _Origin:
        """Into a layer or out of it."""
        if call not in self.seen:
            path = self.layers[call]
            self.count[path] += 1
            self.seen[call] = self.add(Node(call_name(path, self.count[path]), "layer", shape), [])
        place = self.seen[call]
        if side == "in":
            self._join(place, origins)
            return _Inside(call)
        self.nodes[place] = Node(self.nodes[place].name, "layer", shape)
        return place


def _shape(equation: JaxprEqn) -> tuple[int, ...]:
    """That of the first result, without the batch."""
    return tuple(getattr(equation.outvars[0].aval, "shape", ()))[1:]


def _mark_of(equation: JaxprEqn) -> tuple[str, int] | None:
    """Which side of which call an equation marks."""
    if equation.primitive.name != "name":
        return None
    owner, *rest = equation.params["name"].split(":")
    return (rest[0], int(rest[1])) if owner == _MARK else None


def _body(equation: JaxprEqn) -> Jaxpr | None:
    """The trace inside of a call, such as that of a function under jit."""
    for value in equation.params.values():
        if isinstance(value, ClosedJaxpr | Jaxpr):
            return value.jaxpr if isinstance(value, ClosedJaxpr) else value
    return None


def _has_marks(jaxpr: Jaxpr) -> bool:
    bodies = [body for body in map(_body, jaxpr.eqns) if body]
    return any(map(_mark_of, jaxpr.eqns)) or any(map(_has_marks, bodies))


def _operation_name(equation: JaxprEqn) -> str:
    """A function's own name where jax keeps it, as in relu; else the primitive's."""
    body = _body(equation)
    if body and "name" not in equation.params and len(body.eqns) == 1:
        return _operation_name(body.eqns[0])
    return str(equation.params.get("name", equation.primitive.name)).strip("_")
