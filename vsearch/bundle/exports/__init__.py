"""A bundle's network for other runtimes, proven to embed alike."""
