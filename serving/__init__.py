"""Run a genuine Triton server from a Python environment: its environment, launcher, drain and onnxruntime backend."""
