"""The `onnxruntime` backend in Python: model.py is what Triton runs, the rest is imported by it."""
