"""The residual network of He et al. with 20 layers: 269,434 parameters on grey images, 269,722 on RGB images.

    python run.py --experiment=resnet
    python run.py --experiment=resnet --depth=32 --norm=group

Momentum, batch size and learning rate are the paper's; the rate falls along a cosine, because five epochs are few.
"""

from cnn_jax import Experiment


def experiment() -> Experiment:
    return Experiment().vary(model="resnet", optimizer="momentum", learning_rate=0.1, schedule="cosine", batch_size=128)
