"""The lecture's CNN on images whose pixels are permuted, all in the same way: near things no longer belong together.

python run.py --experiment=permuted_pixels
python run.py --experiment=permuted_pixels --model=dense
"""

from dataclasses import replace

from cnn_jax.config import Config
from experiments import lecture_cnn


def config() -> Config:
    return replace(lecture_cnn.config(), view="permuted")
