"""Telling people: messages about approvals, budgets and deployments, through an outbox that survives the process.

A message opens what it is about and never decides it: none carries a link, token or button that would.
"""
