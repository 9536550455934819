"""The HTTP API: the service's operations as resources, with the console beside them."""

from .application import create_app

__all__ = ["create_app"]
