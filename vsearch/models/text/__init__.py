"""The text side of image-text networks: tokenizers, text towers, embeddings of texts."""
