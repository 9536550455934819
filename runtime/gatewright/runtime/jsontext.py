"""JSON as it comes in through a door: only what the database, the ledger and every client can hold.

Python's own parser is more generous than RFC 8259: it takes `NaN`, lone surrogates and numbers of any size, which are
stored and then cannot be read, signed or shown again.
"""

from __future__ import annotations

import math
from typing import Any

from pydantic_core import from_json

LARGEST = 2**64 - 1
SMALLEST = -(2**63)


def parse(text: str | bytes) -> Any:
    """The value of a JSON text.

    Raises:
        ValueError: it is not JSON, is nested deeper than 200 levels, holds half a surrogate pair, or a number beyond
            64 bits.
    """
    try:
        value = from_json(text.encode() if isinstance(text, str) else text, allow_inf_nan=False)
    except UnicodeEncodeError as error:
        raise ValueError("it holds half a surrogate pair") from error
    pending = [value]
    while pending:
        part = pending.pop()
        if isinstance(part, dict):
            pending.extend(part.values())
        elif isinstance(part, list):
            pending.extend(part)
        elif isinstance(part, float):
            if not math.isfinite(part):
                raise ValueError("a number is too large for 64 bits")
        elif isinstance(part, int) and not SMALLEST <= part <= LARGEST:
            raise ValueError(f"the number {str(part)[:20]}… is too large for 64 bits; send it as a text")
    return value
