"""The chart, and the Helm that it is tried with."""
