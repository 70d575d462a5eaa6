"""A run on disk: its directory, checkpoints, resume, signals, result, and several seeds of it."""
