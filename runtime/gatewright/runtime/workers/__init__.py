"""The processes that work on a database: who is there, what each holds, and what one does for all."""
