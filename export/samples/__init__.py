"""Inputs drawn and sounded by this project's own code: what gates try graphs with and INT8 is calibrated on."""

from sat2sound.export.samples.conditions import conditions
from sat2sound.export.samples.pictures import pictures
from sat2sound.export.samples.recordings import recordings

__all__ = ["conditions", "pictures", "recordings"]
