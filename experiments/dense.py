"""The dense network of the lecture's first assignment: 784-512-10, 407,050 parameters.

python run.py --experiment=dense
"""

from dataclasses import replace

from cnn_jax.config import Config
from experiments import lecture_cnn


def config() -> Config:
    return replace(lecture_cnn.config(), model="dense")
