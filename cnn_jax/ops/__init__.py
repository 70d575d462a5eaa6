"""Convolution and pooling in the forms that XLA runs fast, on a CPU too."""
