"""A CNN on 1,000 scenes of 200 x 200 RGB pixels: of 141,458 parameters, 135,426 are its dense layer's.

python run.py --experiment=rgb200
"""

from dataclasses import replace

from cnn_jax.config import Config
from experiments import lecture_cnn


def config() -> Config:
    return replace(lecture_cnn.config(), dataset="rgb200", widths=(8, 16, 32), batch_size=32, epochs=10)
