"""Float32 graphs -> INT8 and half precision."""
