"""Chaos: whole installations of the service are disturbed, and a record kept outside them says what came of it."""
