"""Small convolutional networks in JAX and Flax: the lecture's models, trained exactly and measured honestly."""
