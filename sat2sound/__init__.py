"""Sat2Sound: satellite images, sounds and text in one embedding space, served by NVIDIA Triton.

Importing this package imports neither torch nor a server: the preprocessing and the wire contract are light.
"""

__version__ = "0.1.0"
