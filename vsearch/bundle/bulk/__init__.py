"""Embedding and indexing catalogs too large for one process."""
