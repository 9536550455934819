"""AgentDojo without a language model: what rules alone stop, and what they cost, when an agent obeys everybody.

`python -m benchmarks.agentdojo` runs it; docs/benchmarks.md says how to read the numbers.
"""
