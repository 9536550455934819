"""An airline's booking desk: flights, reservations, customers, and the tools to work on them."""

from .world import AIRLINE, AirlineWorld, airline

__all__ = ["AIRLINE", "AirlineWorld", "airline"]
