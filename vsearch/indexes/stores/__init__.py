"""The pieces of indexes in vector stores: collections, their rows, URLs, connections."""
