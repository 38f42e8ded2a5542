"""The KServe endpoint in front of Triton: tokens, limits, images by reference or place, metrics, drain."""
