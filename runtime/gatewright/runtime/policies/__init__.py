"""Learned policies in the service: encoded features, artefacts of plain arrays, a NumPy forward pass."""

MOST_EXPLORATION = 0.2  # share of decisions that a policy may give away to learn from
