"""A model with two inputs, a residual branch and two outputs: the digit, and whether it is 5 or more.

    python run.py --experiment=two_inputs_two_outputs

The second input is three numbers that are computed from the image: total ink, aspect ratio, slant.
"""

from dataclasses import replace

from cnn_jax.config import Config
from experiments import lecture_cnn


def config() -> Config:
    return replace(lecture_cnn.config(), model="graph", view="with_metadata")
