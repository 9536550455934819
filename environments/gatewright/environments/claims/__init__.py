"""An insurance-claims desk: intake, coverage, fraud check and payout, with a model whose best policy can be computed.

`model` and `optimum` are the model and its exact values; `core`, `single` and `vector` are its decision points as
environments (the latter two need the extra `tune`).
"""
