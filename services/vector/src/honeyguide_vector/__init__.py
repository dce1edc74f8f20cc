"""Vector retrieval for Honeyguide: an ONNX sentence encoder and an HNSW index."""
