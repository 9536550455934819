"""Suites: situations that a team is put in, what must come of them, and running them on the real team."""

from .documents import Suite, read, schema
from .running import Prepared, prepare, run

__all__ = ["Prepared", "Suite", "prepare", "read", "run", "schema"]
