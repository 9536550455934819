"""Files of recorded episodes that other harnesses wrote, read into one neutral form (`Recording`)."""

from .files import Imported, read

__all__ = ["Imported", "read"]
