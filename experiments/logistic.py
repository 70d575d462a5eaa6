"""Logistic regression on pixels, a perceptron with softmax: 784-10, 7,850 parameters.

python run.py --experiment=logistic
"""

from dataclasses import replace

from cnn_jax.config import Config
from experiments import lecture_cnn


def config() -> Config:
    return replace(lecture_cnn.config(), model="logistic")
