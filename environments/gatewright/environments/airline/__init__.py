"""An airline's booking desk: flights, reservations, customers, and the tools to work on them."""

from .world import AirlineWorld, airline

__all__ = ["AirlineWorld", "airline"]
