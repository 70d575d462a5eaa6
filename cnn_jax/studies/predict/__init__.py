"""Predict the digits in a user's own pictures with a finished run."""
