"""From files and numbers to the arrays that the encoders take: the one copy, without torch.

Training, export checks, Triton's python models and the clients all call this package.
"""

from sat2sound.preprocessing.audio import SAMPLE_RATE, SECONDS, decode_audio
from sat2sound.preprocessing.image import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    crop_and_resize,
    crop_tile,
    decode_image,
    normalise_pixels,
    resize_whole,
)
from sat2sound.preprocessing.limits import Limits
from sat2sound.preprocessing.log_mel import log_mel, prepare_audio
from sat2sound.preprocessing.metadata import AUDIO_SOURCES, CAPTION_SOURCES, Conditions, Metadata
from sat2sound.preprocessing.satellite import SatelliteRequest, prepare_satellite
from sat2sound.preprocessing.text import TextTokenizer, check_text, decode_text

__all__ = [
    "AUDIO_SOURCES",
    "CAPTION_SOURCES",
    "IMAGENET_MEAN",
    "IMAGENET_STD",
    "SAMPLE_RATE",
    "SECONDS",
    "Conditions",
    "Limits",
    "Metadata",
    "SatelliteRequest",
    "TextTokenizer",
    "check_text",
    "crop_and_resize",
    "crop_tile",
    "decode_audio",
    "decode_image",
    "decode_text",
    "log_mel",
    "normalise_pixels",
    "prepare_audio",
    "prepare_satellite",
    "resize_whole",
]
