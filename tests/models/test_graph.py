"""The graph is that of the module as it runs: branches, repeated layers, several inputs and outputs."""

import jax
import jax.numpy as jnp
import pytest
from flax import linen as nn

from cnn_jax.experiment import Experiment, build_module
from cnn_jax.models.graph import Graph, trace_graph
from cnn_jax.models.layers import Conv, Dense, Flatten, MaxPool
from tests.models.branching import INPUTS, Branching


def images(*shape: int) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct((1, *shape), jnp.float32)


def lines(found: Graph) -> list[str]:
    """Each node with what it reads, as in `add (11, 11, 4) <- Conv_0 relu`."""
    names = [node.name for node in found.nodes]
    return [
        f"{node.name} {node.shape} <- {' '.join(names[source] for source in found.sources(place))}".removesuffix(" <- ")
        for place, node in enumerate(found.nodes)
    ]


def test_lecture_cnn_is_a_chain_with_its_relus() -> None:
    assert lines(trace_graph(build_module(Experiment(), 10), images(28, 28, 1))) == [
        "input (28, 28, 1)",
        "Conv_0 (26, 26, 32) <- input",
        "relu (26, 26, 32) <- Conv_0",
        "MaxPool_0 (13, 13, 32) <- relu",
        "Conv_1 (11, 11, 64) <- MaxPool_0",
        "relu (11, 11, 64) <- Conv_1",
        "MaxPool_1 (5, 5, 64) <- relu",
        "Conv_2 (3, 3, 128) <- MaxPool_1",
        "relu (3, 3, 128) <- Conv_2",
        "Flatten_0 (1152,) <- relu",
        "Dense_0 (10,) <- Flatten_0",
        "output (10,) <- Dense_0",
    ]


def test_branches_repeated_layers_inputs_and_outputs() -> None:
    assert lines(trace_graph(Branching(), INPUTS)) == [
        "image (16, 16, 1)",
        "metadata (3,)",
        "Residual_0/Conv_0 (14, 14, 4) <- image",
        "relu (14, 14, 4) <- Residual_0/Conv_0",
        "Residual_0/same (14, 14, 4) <- relu",
        "relu (14, 14, 4) <- Residual_0/same",
        "Residual_0/same (call 2) (14, 14, 4) <- relu",
        "slice (14, 14, 1) <- image",
        "Residual_0/shortcut (14, 14, 4) <- slice",
        "add (14, 14, 4) <- Residual_0/same (call 2) Residual_0/shortcut",
        "relu (14, 14, 4) <- add",
        "MaxPool_0 (7, 7, 4) <- relu",
        "Flatten_0 (196,) <- MaxPool_0",
        "Dense_0 (5,) <- metadata",
        "relu (5,) <- Dense_0",
        "concatenate (201,) <- Flatten_0 relu",
        "digit (10,) <- concatenate",
        "is_large (2,) <- concatenate",
        "digit (10,) <- digit",
        "is_large (2,) <- is_large",
    ]


class Wrapped(nn.Module):
    """Layers under jit and under rematerialization, and a result that nobody reads."""

    @nn.compact
    def __call__(self, images: jax.Array) -> jax.Array:
        x = nn.jit(Conv)(4, name="jitted")(images)
        x = nn.remat(Conv)(4, name="remat")(jnp.tanh(x))
        jnp.exp(x)
        x = MaxPool()(x)
        return Dense(3)(Flatten()(x))


def test_lifted_layers_are_found_and_what_nobody_reads_is_not_drawn() -> None:
    assert lines(trace_graph(Wrapped(), images(9, 9, 1))) == [
        "input (9, 9, 1)",
        "jitted (7, 7, 4) <- input",
        "tanh (7, 7, 4) <- jitted",
        "remat (5, 5, 4) <- tanh",
        "MaxPool_0 (2, 2, 4) <- remat",
        "Flatten_0 (16,) <- MaxPool_0",
        "Dense_0 (3,) <- Flatten_0",
        "output (3,) <- Dense_0",
    ]


@pytest.mark.parametrize("settings", [{"model": "dense"}, {"model": "logistic"}, {"pooling": False}, {"widths": (2,)}])
def test_every_edge_leads_on_from_input_to_output(settings: dict) -> None:
    found = trace_graph(build_module(Experiment().vary(settings), 10), images(28, 28, 1))
    assert list(found.edges) == [(place, place + 1) for place in range(len(found.nodes) - 1)]
    assert (found.nodes[0].kind, found.nodes[-1].kind) == ("input", "output")
