"""Reads exported networks: symbol and parameter files in, a typed graph and ONNX out."""
