"""What an experiment is made of, without any training: its layers, its graph, and its augmentations."""
