"""What computes embeddings: PyTorch, ONNX Runtime, OpenVINO."""
