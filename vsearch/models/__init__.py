"""From photos to embeddings: networks, and the runtimes that compute them."""
