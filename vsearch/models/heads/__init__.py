"""Layers between a backbone's features and the embedding."""
