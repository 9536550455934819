"""Approvals in the database: what people decide, hand over and grant, and what time does to what nobody decides."""
