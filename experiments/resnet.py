"""The residual network of He et al. with 20 layers: 269,434 parameters on grey images, 269,722 on RGB images.

    python run.py --experiment=resnet
    python run.py --experiment=resnet --depth=32 --norm=group

Momentum, batch size and learning rate are the paper's; the rate falls along a cosine, because five epochs are few.

After one epoch of 55,000 images of MNIST (5,000 held out, nothing chosen by them) the test accuracy is 98.94 ± 0.11 %
(mean of 5 seeds, 95 % interval). On CIFAR-10 as JPEG files, 10 epochs of 50,000 images with `--augment=crop,flip` took
36 minutes and gave 81.12 % (one seed, 229 images/s). Two cores (AMD EPYC), one for each run on MNIST; jax 0.10.2,
2026-11-27.
"""

from cnn_jax import Experiment


def experiment() -> Experiment:
    return Experiment().vary(model="resnet", optimizer="momentum", learning_rate=0.1, schedule="cosine", batch_size=128)
