"""The lecture's CNN: three convolutions, 2 x 2 max-pooling after the first two, 104,202 parameters.

    python run.py

MNIST test accuracy 99.20 ± 0.06 %, test loss 0.0262 ± 0.0018 (mean ± half of the 95 % confidence interval, n = 10
seeds; two cores, Intel Xeon 2.80 GHz). A run trains for 61 s at 5,000 images/s (two AVX2 cores, AMD EPYC). jax 0.10.2,
2026-11. The lecture's Keras program reached 99.09 % and 0.0285 in one run.
"""

from cnn_jax import Experiment


def experiment() -> Experiment:
    return Experiment()
