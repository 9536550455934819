"""Rule packs against what has been recorded: nothing is executed again."""
