"""The command line. Nothing heavy is imported before a command that needs it runs."""

from .program import main

__all__ = ["main"]
