"""What a comparison, a gate or a run says: as text, JUnit XML, Markdown, JSON, or one self-contained HTML page."""

from .document import Document, of_comparison, of_run, of_verdict
from .files import FORMATS, load, write
from .terminal import text

__all__ = ["FORMATS", "Document", "load", "of_comparison", "of_run", "of_verdict", "text", "write"]
