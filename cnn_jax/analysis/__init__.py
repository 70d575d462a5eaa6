"""Looking at models, data, logits and results without training."""
