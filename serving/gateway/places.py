"""Images by latitude and longitude: a tile service's, or cut out of a local raster."""

from __future__ import annotations

import asyncio
from pathlib import Path

from sat2sound.clients.georeference import ground_crop
from sat2sound.clients.tiles import TileError, fetch_tile, tile_url
from sat2sound.errors import ConfigurationError, InvalidInput
from sat2sound.satellite_types import SatelliteType
from sat2sound.serving.gateway.addresses import public_address


class Places:
    """Imagery of places. source: a template as `sat2sound.clients.tiles.tile_url` takes, a GeoTIFF's path, or ""."""

    def __init__(self, source: str, kind: SatelliteType, *, seconds: float, allow_private: bool = False) -> None:
        self._raster = Path(source) if source and "://" not in source else None
        if self._raster is not None and not self._raster.is_file():
            raise ConfigurationError(f"--tiles {source} is neither an address nor a file")
        self._template = source if self._raster is None else ""
        self._kind, self._seconds, self._allow_private = kind, seconds, allow_private

    async def image(self, latitude: float, longitude: float, zoom_level: int = 1) -> bytes:
        """The encoded image of the square around a place that the model looks at.

        Raises InvalidInput where there is nothing, TileError if the service fails.
        """
        side = self._kind.tile_pixels * zoom_level
        if self._raster is not None:
            return await asyncio.to_thread(self._cut, self._raster, latitude, longitude, side)
        if not self._template:
            raise InvalidInput(
                "this gateway has no imagery of places", expected="an image", fix="send one as base64 or by reference"
            )
        url = tile_url(self._template, latitude, longitude, metres=side * self._kind.metres_per_pixel, pixels=side)
        return await asyncio.to_thread(self._fetch, url)

    def _fetch(self, url: str) -> bytes:
        public_address(url, allow_private=self._allow_private)
        return fetch_tile(url, timeout=self._seconds).data

    def _cut(self, raster: Path, latitude: float, longitude: float, side: int) -> bytes:
        metres = self._kind.metres_per_pixel
        crop = ground_crop(raster, side=side, metres_per_pixel=metres, latitude=latitude, longitude=longitude)
        if crop is None:
            raise TileError(raster.name, "it is not a georeferenced raster", fix="ask the operator")
        if abs(crop.latitude - latitude) + abs(crop.longitude - longitude) > 1e-9:
            raise InvalidInput(
                f"latitude {latitude:g}, longitude {longitude:g} lies outside the imagery of this gateway",
                expected="a place within it",
                fix="choose another place, or send an image",
            )
        return crop.data
