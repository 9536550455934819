"""The reference team `claims`: an insurer's claims desk, and its decision points."""
