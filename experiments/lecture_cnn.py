"""The lecture's CNN: three convolutions, 2 x 2 max-pooling after the first two, 104,202 parameters.

python run.py
"""

from cnn_jax.config import Config


def config() -> Config:
    return Config()
