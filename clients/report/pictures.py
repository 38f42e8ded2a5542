"""Pictures for a page that must open without network: small, and inside the page."""

from __future__ import annotations

import base64
import io

from PIL import Image

from sat2sound.clients.scene import Scene
from sat2sound.configs import ModelConfig
from sat2sound.preprocessing import Limits, SatelliteRequest, decode_image, prepare_satellite

PREVIEW_SIDE = 720


def preview(scene: Scene) -> str:
    """The image as sent, at most 720 pixels on its longer side, as a data URI."""
    image = decode_image(scene.data, Limits.from_environment())
    image.thumbnail((PREVIEW_SIDE, PREVIEW_SIDE))
    return _data_uri(image)


def seen_by_model(scene: Scene, config: ModelConfig) -> str | None:
    """The 224 x 224 pixels that the server's preprocessing makes of it, as a data URI: the same code, run here.

    None if they show the whole image.
    """
    width, height = decode_image(scene.data, Limits.from_environment()).size
    if width == height and (scene.metadata.gsd or width == scene.metadata.footprint(config.satellite_type)[0]):
        return None
    request = SatelliteRequest(image=scene.data, **scene.metadata.options())
    pixels, _ = prepare_satellite(request, config, Limits.from_environment())
    return _data_uri(Image.fromarray(pixels))


def _data_uri(image: Image.Image) -> str:
    buffer = io.BytesIO()
    image.save(buffer, format="JPEG", quality=90)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
