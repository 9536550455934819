"""Budgets and circuit breakers: how much may be taken, and what is left alone while it fails."""

from .limit import Identifier as Identifier
from .limit import Limit as Limit
from .limit import Limited as Limited
from .limit import On as On
from .limit import Span as Span
from .limit import joined as joined
from .limit import mistakes as mistakes
from .limit import written as written
