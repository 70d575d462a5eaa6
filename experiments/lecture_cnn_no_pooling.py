"""The lecture's CNN without its pooling layers: 712,202 parameters instead of 104,202.

python run.py --experiment=lecture_cnn_no_pooling
"""

from dataclasses import replace

from cnn_jax.config import Config
from experiments import lecture_cnn


def config() -> Config:
    return replace(lecture_cnn.config(), pooling=False)
