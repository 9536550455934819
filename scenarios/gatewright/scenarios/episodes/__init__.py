"""Episodes as files: JSON Lines, content-addressed, streamed both ways. The format is in `docs/episodes.md`."""

from .files import Recorded, Writer, read, schema

__all__ = ["Recorded", "Writer", "read", "schema"]
