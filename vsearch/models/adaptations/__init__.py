"""Linear maps of finished embeddings, fitted once after training."""
