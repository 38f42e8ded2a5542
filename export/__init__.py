"""Checkpoint to ONNX graphs to a model repository that Triton serves."""
