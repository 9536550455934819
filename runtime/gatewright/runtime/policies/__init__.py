"""Learned policies in the service: encoded features, artefacts of plain arrays, a NumPy forward pass."""
