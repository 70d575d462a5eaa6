"""The lecture's CNN on images whose pixels are permuted, all in the same way: near things no longer belong together.

    python run.py --experiment=permuted_pixels
    python run.py --experiment=permuted_pixels --model=dense

MNIST test accuracy 96.38 %, loss 0.1212, and of the dense network 98.01 %, 0.0696 (n = 1, seed 0 of each): it loses
what it gained from neighbours, and the dense network does not care (97.93 % on images as they are). 140 and 36 s of
training beside other programs. Two cores (Intel Xeon 2.80 GHz), jax 0.10.2, 2026-11.
"""

from dataclasses import replace

from cnn_jax.config import Config
from experiments import lecture_cnn


def config() -> Config:
    return replace(lecture_cnn.config(), view="permuted")
