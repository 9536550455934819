"""The console: pages for the people who watch, approve and look into runs. It works without JavaScript."""

from .pages import mount

__all__ = ["mount"]
