"""A check of seconds that everything works: a small CNN, one epoch over 6,400 images.

python run.py --experiment=smoke
"""

from dataclasses import replace

from cnn_jax.config import Config
from experiments import lecture_cnn


def config() -> Config:
    return replace(lecture_cnn.config(), widths=(8, 16, 32), train_examples=6_400, epochs=1)
