"""The summary of a model: inputs, layers and operations in their order, with numbers, and what each reads."""

import jax
import jax.numpy as jnp
from flax import linen as nn

from cnn_jax import Experiment
from cnn_jax.models.table import summarize


def test_summary_of_the_lecture_cnn_has_its_input_its_activations_and_what_each_layer_reads() -> None:
    summary = Experiment().summary()
    assert [(row.name, row.kind, row.connected_to) for row in summary.rows] == [
        ("input", "input", ()),
        ("Conv_0", "layer", ("input",)),
        ("relu_0", "operation", ("Conv_0",)),
        ("MaxPool_0", "layer", ("relu_0",)),
        ("Conv_1", "layer", ("MaxPool_0",)),
        ("relu_1", "operation", ("Conv_1",)),
        ("MaxPool_1", "layer", ("relu_1",)),
        ("Conv_2", "layer", ("MaxPool_1",)),
        ("relu_2", "operation", ("Conv_2",)),
        ("Flatten_0", "layer", ("relu_2",)),
        ("Dense_0", "layer", ("Flatten_0",)),
    ]
    assert (summary.parameters, summary.multiply_adds) == (104_202, 3_100_032)
    *_, dense, total = repr(summary).splitlines()
    assert dense.split() == ["Dense_0", "(None,", "10)", "11,530", "11,520", "Flatten_0"]
    assert total.split() == ["total", "104,202", "3,100,032"]
    assert summary._repr_html_().count("<tr>") == 1 + 11 + 1


def test_summary_of_branches_names_every_source() -> None:
    experiment = Experiment().vary(task="with_metadata", model="two_inputs_two_outputs")
    reads = {row.name: row.connected_to for row in experiment.summary().rows}
    assert reads["image"] == reads["metadata"] == ()
    assert reads["add_0"] == ("MaxPool_0", "Conv_2")
    assert reads["concatenate_0"] == ("Flatten_0", "relu_3")


def test_parameters_of_a_layer_that_is_called_twice_count_once_and_its_products_twice() -> None:
    class Twice(nn.Module):
        @nn.compact
        def __call__(self, images: jax.Array) -> jax.Array:
            same = nn.Conv(1, (3, 3), padding="VALID")
            return same(same(images))

    rows = summarize(Twice(), jax.ShapeDtypeStruct((1, 8, 8, 1), jnp.float32)).rows
    assert [(row.name, row.parameters, row.multiply_adds) for row in rows] == [
        ("input", 0, 0),
        ("Conv_0", 10, 36 * 9),
        ("Conv_0 (call 2)", 0, 16 * 9),
    ]
