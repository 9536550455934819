"""How teams run: effect chain, engine, store, API, console, command line."""
