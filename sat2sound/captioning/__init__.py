"""Image captions of what could be heard, written by a vision-language model."""
