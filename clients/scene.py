"""What is sent to the server: a person's image, a tile of a place, or the bundled scene."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from sat2sound.clients.georeference import ground_crop
from sat2sound.clients.inputs import file_bytes
from sat2sound.clients.sample_scene import LABEL, METRES_PER_PIXEL, sample_scene_png
from sat2sound.clients.tiles import TileError, fetch_tile, tile_url
from sat2sound.preprocessing.metadata import check_location
from sat2sound.preprocessing.satellite import SatelliteRequest, Scale, read_conditions, read_scale
from sat2sound.satellite_types import SATELLITE_TYPES, SatelliteType

Origin = Literal["file", "tile", "synthetic"]
_ANY = SATELLITE_TYPES["aerial"]  # no check depends on which type an image is taken for


@dataclass(frozen=True)
class ImageMetadata:
    """What a person said about the image; None = not said. Units as in the wire contract."""

    satellite: str | None = None
    zoom_level: int | None = None
    gsd: float | None = None
    latitude: float | None = None
    longitude: float | None = None
    month: int | None = None
    hour: int | None = None

    def options(self) -> dict[str, Any]:
        """Keyword arguments for the client's methods."""
        return dict(vars(self))

    def check(self) -> None:
        """Refuse, before any server is started, what every server refuses. Raises InvalidInput."""
        read_conditions(self._request(), self._scale(_ANY))

    def footprint(self, default: SatelliteType) -> tuple[int, float]:
        """Side in pixels and metres per pixel of the image that the server will look at. Raises InvalidInput."""
        scale = self._scale(default)
        if scale.gsd is not None:
            return scale.kind.tile_pixels, scale.gsd
        return scale.kind.tile_pixels * scale.zoom_level, scale.kind.metres_per_pixel

    def _scale(self, default: SatelliteType) -> Scale:
        return read_scale(self._request(), default)

    def _request(self) -> SatelliteRequest:
        return SatelliteRequest(b"", **vars(self))


@dataclass(frozen=True)
class Scene:
    """data: encoded image. name: for people. origin: where it comes from. notes: what to know about it."""

    data: bytes
    name: str
    origin: Origin
    metadata: ImageMetadata
    notes: tuple[str, ...] = field(default=())


def scene_of_file(path: Path, metadata: ImageMetadata, default: SatelliteType) -> Scene:
    """A person's image. Of a georeferenced TIFF, the footprint that the model expects; anything else as it is."""
    side, metres = metadata.footprint(default)
    crop = ground_crop(
        path, side=side, metres_per_pixel=metres, latitude=metadata.latitude, longitude=metadata.longitude
    )
    if crop is None:
        (data,) = file_bytes(path)
        return Scene(data, path.name, "file", metadata)
    place = f"{side * metres:.0f} m square around {crop.latitude:.5f}, {crop.longitude:.5f}"
    if metadata.gsd is None:
        # The crop was made for this satellite type: said explicitly, it holds whatever model the server has.
        metadata = replace(metadata, satellite=metadata.satellite or default.name)
    if metadata.latitude is None:
        metadata = replace(metadata, latitude=crop.latitude, longitude=crop.longitude)
    return Scene(crop.data, f"{path.name} ({place})", "file", metadata, crop.notes)


def scene_of_place(metadata: ImageMetadata, default: SatelliteType, template: str) -> Scene:
    """A tile of the place, from an image service. Raises TileError, InvalidInput, ConfigurationError."""
    latitude, longitude = check_location(metadata.latitude, metadata.longitude)
    side, metres = metadata.footprint(default)
    tile = fetch_tile(tile_url(template, latitude, longitude, metres=side * metres, pixels=side))
    if _is_blank(tile.data):
        raise TileError(
            tile.service,
            f"it has no image of {latitude:g}, {longitude:g}",
            fix="choose a place that it covers (USGS NAIP: the contiguous United States), or give an image file",
        )
    if metadata.gsd is None:
        metadata = replace(metadata, satellite=metadata.satellite or default.name)
    note = f"image from {tile.service}, {side * metres:.0f} m square"
    return Scene(tile.data, f"{latitude:.5f}, {longitude:.5f}", "tile", metadata, (note,))


def sample(metadata: ImageMetadata) -> Scene:
    """The bundled synthetic beach, at its own scale whatever the person said about the scale."""
    own = replace(metadata, satellite="aerial", zoom_level=None, gsd=None)
    footprint = f"{256 * METRES_PER_PIXEL:.0f} m square"
    return Scene(sample_scene_png(), f"synthetic beach ({footprint})", "synthetic", own, (LABEL,))


def _is_blank(data: bytes) -> bool:
    """Whether an image has one colour only, as services draw where they have nothing. Not an image: not blank."""
    import io

    from PIL import Image

    try:
        with Image.open(io.BytesIO(data), formats=("PNG", "JPEG", "WEBP", "TIFF")) as image:
            if image.width * image.height > 16_000_000:
                return False
            extrema = image.convert("RGB").getextrema()
    except (OSError, ValueError, SyntaxError):
        return False
    return all(low == high for low, high in extrema)  # type: ignore[misc]
