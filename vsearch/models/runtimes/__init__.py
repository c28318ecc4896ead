"""Libraries that compute embeddings: PyTorch, ONNX Runtime, OpenVINO."""
