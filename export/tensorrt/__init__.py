"""TensorRT engines from the repository's graphs: what its parser supports, keys, store, building, accuracy."""
