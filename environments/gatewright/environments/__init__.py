"""Decision points and recorded worlds as environments."""
