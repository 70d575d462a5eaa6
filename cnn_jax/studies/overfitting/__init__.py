"""Training accuracy against test accuracy, for more and more training images."""
