"""From photos to embeddings: networks, and what computes them."""
