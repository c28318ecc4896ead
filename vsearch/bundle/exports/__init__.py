"""A bundle's network for other runtimes, proven to give the same embeddings."""
