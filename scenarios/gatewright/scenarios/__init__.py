"""Record, replay, simulate, evaluate, tune, explain, report."""
