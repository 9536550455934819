"""Subscriptions of deployments: messages of the bus become runs."""
