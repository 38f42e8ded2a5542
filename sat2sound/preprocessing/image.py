"""Encoded images of any common kind -> the 224 x 224 pixels that the satellite encoder takes."""

from __future__ import annotations

import io
import warnings

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from sat2sound.contract import IMAGE_SIZE
from sat2sound.errors import InvalidInput
from sat2sound.preprocessing.colour import to_rgb
from sat2sound.preprocessing.image_files import (
    EXPECTED,
    check_dimensions,
    check_png,
    check_scans,
    check_webp,
    count_jpeg_scans,
    damaged,
    image_format,
)
from sat2sound.preprocessing.limits import Limits, check_encoded_size
from sat2sound.preprocessing.tiff import prepare_tiff
from sat2sound.satellite_types import SatelliteType

Pixels = npt.NDArray[np.uint8]

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

# Opened by class, not by Image.open: none of Pillow's other decoders is reachable, and none is ever tried.
_DECODERS: dict[str, type[ImageFile.ImageFile]] = {
    "JPEG": JpegImageFile,
    "PNG": PngImageFile,
    "WEBP": WebPImageFile,
    "TIFF": TiffImageFile,
}
# What turns an image with this EXIF orientation upright
_TURNS: dict[object, Image.Transpose] = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

# Odd metadata is no reason to refuse an image, nor to fill a server's log with words from it. Set once, because
# warnings.catch_warnings() is not safe in threads.
warnings.filterwarnings("ignore", module=r"PIL\.")


def decode_image(data: bytes, limits: Limits) -> Image.Image:
    """Decode to RGB, upright, first frame only.

    data: an encoded JPEG, PNG, WebP or TIFF. Grey, palette, CMYK, 16-bit and float images are converted, alpha and near
    infrared dropped (rules: `colour.to_rgb`), EXIF rotation is applied. Raises InvalidInput; the size and the structure
    are checked before pixels are decoded.
    """
    check_encoded_size(data, limits, "image")
    kind = image_format(data)
    try:
        return _decode(kind, data, limits)
    except InvalidInput:
        raise
    except MemoryError:
        raise InvalidInput(
            "the image needs more memory to decode than there is",
            expected=EXPECTED,
            fix="send a smaller image, or crop the place of interest",
        ) from None
    except Exception as error:  # whatever a decoder raises means that this one file cannot be decoded
        raise damaged(str(error) or type(error).__name__) from None


def _decode(kind: str, data: bytes, limits: Limits) -> Image.Image:
    no_data, scans = None, 0
    if kind == "JPEG":
        scans = count_jpeg_scans(data)
    elif kind == "PNG":
        check_png(data)
    elif kind == "WEBP":
        check_webp(data, limits)
    else:
        prepared = prepare_tiff(data, limits)
        data, no_data = prepared.data, prepared.no_data

    def open_file() -> ImageFile.ImageFile:
        return _DECODERS[kind](io.BytesIO(data))

    image = open_file()
    check_dimensions(*image.size, limits)
    check_scans(scans, *image.size, limits)
    rgb = to_rgb(image, open_file, no_data)
    rgb.info.clear()  # an orientation left in it would be applied again by whoever saves the image
    turn = None if kind == "TIFF" else _TURNS.get(_orientation(image))  # Pillow itself turns TIFFs upright
    return rgb if turn is None else rgb.transpose(turn)


def _orientation(image: Image.Image) -> object:
    """EXIF's 1..8; 1 (upright) where there is none or it cannot be read."""
    try:
        return image.getexif().get(0x0112, 1)
    except Exception:
        return 1


def crop_and_resize(image: Image.Image, satellite: SatelliteType, zoom_level: int) -> Pixels:
    """The part of an image that one zoom level covers: uint8 [224, 224, 3].

    image: RGB, at the satellite type's native ground sample distance. `crop_tile`, then PIL's antialiased bicubic
    resize. Source: MODEL.md, image preparation.
    """
    return _resize(crop_tile(image, satellite, zoom_level))


def crop_tile(image: Image.Image, satellite: SatelliteType, zoom_level: int) -> Image.Image:
    """The centre square of `zoom_level x tile_pixels` (offset round((size - crop) / 2)), before any resize.

    Where the image is smaller it is centred on zero padding.
    """
    crop = zoom_level * satellite.tile_pixels
    left, top = _offset(image.width, crop), _offset(image.height, crop)
    return image.crop((left, top, left + crop, top + crop))


def _offset(size: int, crop: int) -> int:
    """Where the crop begins. Odd padding goes to the far side, odd cropping to the even offset, as in training."""
    return round((size - crop) / 2) if size >= crop else -((crop - size) // 2)


def resize_whole(image: Image.Image) -> Pixels:
    """The largest centred square as the whole tile: uint8 [224, 224, 3]. For images that come with their own GSD."""
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    return _resize(image.crop((left, top, left + side, top + side)))


def _resize(square: Image.Image) -> Pixels:
    return np.array(square.resize((IMAGE_SIZE, IMAGE_SIZE), Image.Resampling.BICUBIC), dtype=np.uint8)  # writable copy


def normalise_pixels(pixels: Pixels) -> npt.NDArray[np.float32]:
    """uint8 [..., 224, 224, 3] -> float32 [..., 3, 224, 224]: (value / 255 - ImageNet mean) / ImageNet deviation."""
    scaled = pixels.astype(np.float32) / np.float32(255.0)
    normalised = (scaled - np.asarray(IMAGENET_MEAN, np.float32)) / np.asarray(IMAGENET_STD, np.float32)
    return np.ascontiguousarray(np.moveaxis(normalised, -1, -3))
