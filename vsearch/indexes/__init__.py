"""Find the nearest embeddings: FAISS, exact search, vector stores."""
