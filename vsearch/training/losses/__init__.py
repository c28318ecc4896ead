"""Losses that pytorch-metric-learning does not have as a config needs them."""
