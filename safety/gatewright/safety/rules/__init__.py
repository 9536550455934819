"""Rules: packs in YAML with conditions in CEL, what they see of an event, and the guard that asks them."""
