"""A shop's service desk: customers, orders and products, and the tools to work on them."""

from .world import RETAIL, RetailWorld, retail

__all__ = ["RETAIL", "RetailWorld", "retail"]
