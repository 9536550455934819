"""Personal data and secrets in text: found, and kept out of what is shown and kept."""
