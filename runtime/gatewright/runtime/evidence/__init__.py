"""Evidence packs: decisions with their proofs in one file, and the program that checks one with nothing but Python."""

from .packs import Chosen, Packed, deciders, write

__all__ = ["Chosen", "Packed", "deciders", "write"]
