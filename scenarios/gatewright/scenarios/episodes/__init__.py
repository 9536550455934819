"""Episodes as files: JSON Lines, content-addressed, streamed both ways. The format is in `docs/episodes.md`."""

from .files import Recorded, Writer, read

__all__ = ["Recorded", "Writer", "read"]
