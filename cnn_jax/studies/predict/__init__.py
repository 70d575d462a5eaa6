"""Predict what a user's own pictures show, with a finished run or a shipped network."""
