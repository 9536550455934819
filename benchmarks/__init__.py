"""Benchmarks: what Gatewright costs against what stands without it, measured in one run, in turns.

`python -m benchmarks.NAME` runs one, `python -m benchmarks` all; see docs/benchmarks.md for how to read them.
"""
