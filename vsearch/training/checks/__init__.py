"""Checks of settings before training that would otherwise fail hours later; errors name the key."""
