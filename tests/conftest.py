"""What all tests share: hypothesis without deadlines (machines differ) and without a database of examples."""

from hypothesis import settings

settings.register_profile("gatewright", deadline=None, database=None, derandomize=True)
settings.load_profile("gatewright")
