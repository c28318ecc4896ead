"""What would fail hours later is refused before training, with the key that is wrong."""
