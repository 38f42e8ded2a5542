"""Triton backends of our own: one folder per backend name."""
