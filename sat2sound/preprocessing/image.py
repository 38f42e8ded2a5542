"""Encoded images of any common kind -> the 224 x 224 pixels that the satellite encoder takes."""

from __future__ import annotations

import io
import struct
import warnings

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from sat2sound.contract import IMAGE_SIZE
from sat2sound.errors import InvalidInput
from sat2sound.preprocessing.limits import MEBIBYTE, Limits
from sat2sound.satellite_types import SatelliteType

Pixels = npt.NDArray[np.uint8]

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
FORMATS = ("JPEG", "PNG", "WEBP", "TIFF")  # nothing else of Pillow's many decoders is reachable from outside

_EXPECTED = "one JPEG, PNG, WebP or TIFF image"
# Pillow's own guard warns on stderr and can be switched off globally by any import; ours is the one that counts.
Image.MAX_IMAGE_PIXELS = None


def check_encoded_size(data: bytes, limits: Limits, what: str) -> None:
    """Refuse empty and oversized inputs before decoding. what: "image" or "recording"."""
    if not data:
        raise InvalidInput(f"the {what} is empty (0 bytes)", expected=f"an encoded {what}", fix="send the file's bytes")
    if len(data) > limits.max_encoded_bytes:
        raise InvalidInput(
            f"the encoded {what} has {len(data) / MEBIBYTE:.1f} MiB",
            expected=f"at most {limits.max_encoded_bytes / MEBIBYTE:.0f} MiB",
            fix=f"send a smaller {what}, or only the part of interest",
        )


def decode_image(data: bytes, limits: Limits) -> Image.Image:
    """Decode to RGB, upright, first frame only.

    data: an encoded JPEG, PNG, WebP or TIFF. Grey, palette, CMYK, 16-bit and float images are converted (see
    `_to_rgb`), EXIF rotation is applied, an alpha channel is dropped without blending: pixels that a mosaic marks
    transparent keep the colour they were stored with. Raises InvalidInput; the size is checked before pixels are decoded.
    """
    check_encoded_size(data, limits, "image")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # odd metadata is no reason to refuse an image
            image = Image.open(io.BytesIO(data), formats=FORMATS)
            _check_dimensions(image, limits)
            image.load()
            rgb = _to_rgb(image)
            return ImageOps.exif_transpose(rgb) if _has_orientation(image, rgb) else rgb
    except InvalidInput:
        raise
    except Image.UnidentifiedImageError:
        raise InvalidInput(
            f"the bytes are not an image that can be read (they start with {data[:8]!r})",
            expected=_EXPECTED,
            fix="send the bytes of such a file; convert other formats first",
        ) from None
    except (OSError, ValueError, SyntaxError, EOFError, TypeError, IndexError, KeyError, OverflowError,
            ArithmeticError, AttributeError, RuntimeError, MemoryError, struct.error) as error:  # fmt: skip
        # Pillow reports damaged files with all of these; each means that this one file cannot be decoded.
        raise InvalidInput(
            f"the image is damaged or incomplete ({str(error)[:120] or type(error).__name__})",
            expected=_EXPECTED,
            fix="check that the whole file was sent and that it opens in an image viewer",
        ) from None


def _check_dimensions(image: Image.Image, limits: Limits) -> None:
    width, height = image.size
    if width * height > limits.max_image_pixels:
        raise InvalidInput(
            f"the image has {width} x {height} pixels",
            expected=f"at most {limits.max_image_pixels:,} pixels",
            fix="crop the place of interest, or have the server's SAT2SOUND_MAX_IMAGE_PIXELS raised",
        )
    if min(width, height) < limits.min_image_side:
        raise InvalidInput(
            f"the image has {width} x {height} pixels",
            expected=f"at least {limits.min_image_side} pixels on each side",
            fix="send an image that shows the place: about 77 metres across for the aerial type",
        )


def _has_orientation(image: Image.Image, rgb: Image.Image) -> bool:
    """Carry the EXIF orientation of the decoded file over to the converted image; False where there is none."""
    orientation = image.getexif().get(0x0112, 1)
    if orientation not in range(2, 9):
        return False
    rgb.getexif()[0x0112] = orientation
    return True


def _to_rgb(image: Image.Image) -> Image.Image:
    """RGB from any mode.

    16-bit and float images have no agreed range: values up to 255 are taken as they are, others are scaled linearly so
    that the image's own maximum becomes 255. A TIFF's fourth band (near infrared, alpha) is dropped.
    """
    if image.mode in ("RGBA", "RGBX", "RGBa"):
        return Image.merge("RGB", image.split()[:3]) if image.mode != "RGBa" else image.convert("RGBA").convert("RGB")
    if image.mode in ("I", "F", "I;16", "I;16B", "I;16L", "I;16N"):
        values = np.nan_to_num(np.asarray(image, dtype=np.float32), nan=0.0, posinf=0.0, neginf=0.0).clip(min=0.0)
        peak = float(values.max())
        grey = (values if peak <= 255.0 else values * (255.0 / peak)).round().astype(np.uint8)
        return Image.fromarray(grey).convert("RGB")
    if image.mode in ("LA", "PA", "La"):
        return image.convert("RGBA").convert("RGB")
    return image.convert("RGB")


def crop_and_resize(image: Image.Image, satellite: SatelliteType, zoom_level: int) -> Pixels:
    """The part of an image that one zoom level covers: uint8 [224, 224, 3].

    image: RGB, at the satellite type's native ground sample distance. The centre `zoom_level x tile_pixels` square is
    cropped (offset round((size - crop) / 2)); where the image is smaller it is centred on zero padding; then PIL's
    antialiased bicubic resize. Source: MODEL.md, image preparation.
    """
    crop = zoom_level * satellite.tile_pixels
    width, height = image.size
    left, top = round((width - crop) / 2), round((height - crop) / 2)
    return _resize(image.crop((left, top, left + crop, top + crop)))


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
