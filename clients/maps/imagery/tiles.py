"""A service of square map tiles (XYZ, or WMTS by template) in Web Mercator, read by GDAL's tile client."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit
from xml.sax.saxutils import escape

import numpy as np
import rasterio
from rasterio.enums import Resampling
from rasterio.errors import RasterioError
from rasterio.transform import Affine
from rasterio.vrt import WarpedVRT

from sat2sound.clients.maps.imagery.addresses import NETWORK, without_secrets
from sat2sound.clients.maps.imagery.base import ImageryFacts, View
from sat2sound.errors import InvalidInput

_HALF = 20037508.342789244  # of the world's width in EPSG:3857
_WORLD_METRES_PER_PIXEL = 2 * _HALF / 256  # zoom level 0, at the equator
_ZOOM_LEVELS = range(1, 25)
_TIMEOUT_SECONDS = 20
_RETRIES = 3
# What services write -> what GDAL writes
_FIELDS = {
    "z": "${z}",
    "x": "${x}",
    "y": "${y}",
    "TileMatrix": "${z}",
    "TileCol": "${x}",
    "TileRow": "${y}",
}
_FIELD = re.compile(r"\{(\w+)\}")


def is_template(source: str) -> bool:
    """Whether a text is an http address with fields for a tile's place."""
    return source.startswith(NETWORK) and bool(_FIELD.search(source))


@dataclass(frozen=True)
class TiledImagery:
    """address: template with {z} {x} {y}, or WMTS' {TileMatrix} {TileCol} {TileRow}. max_zoom: the finest level."""

    address: str
    max_zoom: int

    def __post_init__(self) -> None:
        fields = set(_FIELD.findall(self.address))
        levels = [{"z", "x", "y"}, {"TileMatrix", "TileCol", "TileRow"}]
        if fields not in levels or not urlsplit(self.address).hostname:
            raise InvalidInput(
                f"the tile address has the fields {sorted(fields)}",
                expected="{z}, {x} and {y}, or {TileMatrix}, {TileCol} and {TileRow}",
                fix="take the address as the service gives it for Web Mercator tiles (GoogleMapsCompatible)",
            )
        if self.max_zoom not in _ZOOM_LEVELS:
            raise InvalidInput(
                f"the finest zoom level is {self.max_zoom}", expected="1 to 24", fix="look it up at the service"
            )

    @property
    def remote(self) -> bool:
        """Yes."""
        return True

    def facts(self) -> ImageryFacts:
        """Nothing is asked of the service: it covers the world, at a scale that depends on the latitude."""
        scale = _WORLD_METRES_PER_PIXEL / 2**self.max_zoom
        note = f"tiles of zoom level up to {self.max_zoom}: {scale:.2g} m per pixel at the equator, finer elsewhere"
        return ImageryFacts(None, None, None, scale, (note, "check that the service's terms allow this use"))

    def view(self, crs: str, transform: Affine, height: int, width: int) -> View:
        """A picture on a pixel grid of any CRS. Tiles that do not exist are invalid. Raises OSError."""
        try:
            with (
                rasterio.Env(GDAL_HTTP_MAX_RETRY=_RETRIES, GDAL_HTTP_RETRY_DELAY=1),
                rasterio.open(self._service(), driver="WMS") as service,
                WarpedVRT(
                    service, crs=crs, transform=transform, height=height, width=width, resampling=Resampling.cubic
                ) as warped,
            ):
                bands = warped.read([1, 2, 3])
                # GDAL fills tiles that do not exist with zeros in all bands, alpha included
                valid = warped.read(4) > 0 if warped.count > 3 else (bands > 0).any(axis=0)
        except RasterioError as error:
            raise OSError(f"{without_secrets(self.address)}: {error}") from error
        pixels = np.ascontiguousarray(np.moveaxis(bands, 0, -1))
        pixels[~valid] = 0
        return View(pixels, valid)

    def to_json(self) -> dict[str, Any]:
        """What identifies it, without a key that the address may hold."""
        return {"kind": "tiles", "address": without_secrets(self.address), "max_zoom": self.max_zoom}

    def _service(self) -> str:
        """GDAL's description of the service."""
        address = escape(_FIELD.sub(lambda match: _FIELDS[match[1]], self.address))
        return (
            f"<GDAL_WMS><Service name='TMS'><ServerUrl>{address}</ServerUrl></Service><DataWindow>"
            f"<UpperLeftX>{-_HALF}</UpperLeftX><UpperLeftY>{_HALF}</UpperLeftY>"
            f"<LowerRightX>{_HALF}</LowerRightX><LowerRightY>{-_HALF}</LowerRightY>"
            f"<TileLevel>{self.max_zoom}</TileLevel><TileCountX>1</TileCountX><TileCountY>1</TileCountY>"
            "<YOrigin>top</YOrigin></DataWindow><Projection>EPSG:3857</Projection>"
            "<BlockSizeX>256</BlockSizeX><BlockSizeY>256</BlockSizeY><BandsCount>4</BandsCount>"
            f"<MaxConnections>2</MaxConnections><Timeout>{_TIMEOUT_SECONDS}</Timeout>"
            "<ZeroBlockHttpCodes>204,404</ZeroBlockHttpCodes></GDAL_WMS>"
        )
