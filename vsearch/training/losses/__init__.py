"""Losses that pytorch-metric-learning lacks, or that need other arguments in a config."""
