"""Models: flax linen modules that turn images into logits; their fields are their settings.

A model with several inputs or outputs takes or gives dicts of arrays, and names the tasks that it fits in `tasks`.
"""

from collections.abc import Mapping

from flax import linen as nn

from cnn_jax.models.all_convolutional import AllConvolutional
from cnn_jax.models.cnn import CNN
from cnn_jax.models.dense import DenseNetwork, LogisticRegression
from cnn_jax.models.lenet5 import LeNet5
from cnn_jax.models.resnet import ResNet
from cnn_jax.models.separable import SeparableCNN
from cnn_jax.models.two_inputs_two_outputs import TwoInputTwoOutputCNN

MODELS: Mapping[str, type[nn.Module]] = {
    "cnn": CNN,
    "dense": DenseNetwork,
    "logistic": LogisticRegression,
    "lenet5": LeNet5,
    "all_convolutional": AllConvolutional,
    "separable": SeparableCNN,
    "resnet": ResNet,
    "two_inputs_two_outputs": TwoInputTwoOutputCNN,
}
