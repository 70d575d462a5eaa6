"""The profile: times without inner operations add up, and each operation names its layer."""

from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

from cnn_jax import compilation
from cnn_jax.studies.benchmark import profile


def test_time_of_an_inner_operation_is_not_counted_twice() -> None:
    events = [
        ("while", 0.0, 100e9),
        ("dot", 10e9, 30e9),
        ("dot", 40e9, 70e9),
        ("add", 50e9, 60e9),
        ("copy", 100e9, 101e9),
    ]
    own: dict[str, float] = {}
    for name, seconds in profile.own_seconds(events):
        own[name] = own.get(name, 0.0) + seconds
    assert own == {"while": 50.0, "dot": 40.0, "add": 10.0, "copy": 1.0}


def test_source_names_the_layer_without_the_loop_around_it() -> None:
    forward = "jit(chunk)/while/body/closed_call/jvp(CNN)/Conv_0/dot_general"
    assert profile.source_of(forward) == "CNN/Conv_0/dot_general"
    backward = "jit(chunk)/while/body/transpose(jvp(CNN))/Conv_0/jit(_where)/select_n"
    assert profile.source_of(backward) == "gradient of CNN/Conv_0/_where/select_n"


@pytest.mark.slow
def test_most_expensive_operation_of_a_trace_is_the_large_product(tmp_path: Path) -> None:
    def both(large: jax.Array, small: jax.Array) -> jax.Array:
        with jax.named_scope("here"):
            product = large @ large
        return product.sum() + jnp.tanh(small).sum()

    arguments = jnp.ones((1500, 1500)), jnp.ones((3, 3))
    program, _ = compilation.compiled(compilation.jit(both), *arguments)
    operations = profile.most_expensive(lambda: program(*arguments), tmp_path, program.as_text())
    assert 1 <= len(operations) <= 10
    [product] = [found for found in operations if found["source"] == "here/dot_general"]
    assert 0.05 < product["share"] < 1
    seconds = [found["seconds"] for found in operations]
    assert seconds == sorted(seconds, reverse=True)
