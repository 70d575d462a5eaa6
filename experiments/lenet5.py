"""LeNet-5 as LeCun et al. published it in 1998, with a dense layer for its output: 60,850 parameters.

    python run.py --experiment=lenet5
    python run.py --experiment=lenet5 --modern

The second is the network as it is built today, with ReLU, max-pooling and full connections: 61,706 parameters. Both are
trained as the lecture's network is. The paper trained for 20 epochs by another method; its test error was 0.95 %.

After 5 epochs on 55,000 images of MNIST (5,000 held out, nothing chosen by them) the test accuracy is 98.31 ± 0.11 % as
published and 98.98 ± 0.12 % with `--modern` (mean of 5 seeds, 95 % interval; one core of an AMD EPYC, jax 0.10.2,
2026-11-27).
"""

from cnn_jax import Experiment


def experiment() -> Experiment:
    return Experiment().vary(model="lenet5")
