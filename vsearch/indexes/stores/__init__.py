"""What indexes in vector stores are made of: collections, their rows, URLs, connections."""
