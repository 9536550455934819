"""Recorded episodes run again, and what came out differently."""
