"""LeNet-5 as LeCun et al. published it in 1998, with a dense layer for its output: 60,850 parameters.

    python run.py --experiment=lenet5
    python run.py --experiment=lenet5 --modern

The second is the network as it is built today, with ReLU, max-pooling and full connections: 61,706 parameters. Both are
trained as the lecture's network is. The paper trained for 20 epochs by another method; its test error was 0.95 %.
"""

from cnn_jax import Experiment


def experiment() -> Experiment:
    return Experiment().vary(model="lenet5")
