"""Rule packs before they are used: how well they are tried, what changes, what looks like an oversight."""
