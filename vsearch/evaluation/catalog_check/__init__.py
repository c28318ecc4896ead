"""What is wrong with a catalog before anyone trains on it."""
