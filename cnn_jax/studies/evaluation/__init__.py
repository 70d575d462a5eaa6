"""Score finished runs again: calibration, ensembles, corrupted test images."""
