"""What a person typed as the source of imagery -> the source, prepared, with what is known about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sat2sound.clients.maps.area import Area
from sat2sound.clients.maps.imagery.addresses import NETWORK
from sat2sound.clients.maps.imagery.base import Imagery, ImageryFacts
from sat2sound.clients.maps.imagery.raster import RasterImagery
from sat2sound.clients.maps.imagery.stac import STAC_PREFIX, StacSearch, search_imagery
from sat2sound.clients.maps.imagery.stretch import Range
from sat2sound.clients.maps.imagery.tiles import TiledImagery, is_template
from sat2sound.errors import InvalidInput


@dataclass(frozen=True)
class ImageryOptions:
    """What may be said about a source. bands: red, green, blue from 1 (raster); value_range: becomes black and white.

    max_zoom: the finest level of a tile service. search: of a STAC catalogue.
    """

    bands: Sequence[int] | None = None
    value_range: Range | None = None
    max_zoom: int = 18
    search: StacSearch | None = None


def choose_imagery(source: str, area: Area | None, options: ImageryOptions) -> tuple[Imagery, ImageryFacts]:
    """A GeoTIFF (path or http address), a tile template with {z} {x} {y}, or "stac:" and a catalogue's address.

    area: where a catalogue is searched. Raises InvalidInput, ImageryError.
    """
    if options.value_range is not None and not options.value_range[0] < options.value_range[1]:
        raise InvalidInput(
            f"the value range is {options.value_range}", expected="low,high with low below high", fix="swap them"
        )
    _refuse_what_is_for_others(source, options)
    if source.startswith(STAC_PREFIX):
        return search_imagery(
            source.removeprefix(STAC_PREFIX), area, options.search or StacSearch(), options.value_range
        )
    if is_template(source):
        tiles = TiledImagery(source, options.max_zoom)
        return tiles, tiles.facts()
    path = source if source.startswith(NETWORK) else _local(source)
    bands = None if options.bands is None else tuple(options.bands)
    return RasterImagery(path, bands, options.value_range).prepared()


def _refuse_what_is_for_others(source: str, options: ImageryOptions) -> None:
    """An option that would do nothing is a misunderstanding: better said now than seen in the finished map."""
    stac, tiles = source.startswith(STAC_PREFIX), is_template(source)
    search = options.search or StacSearch()
    idle = {
        "--bands": options.bands is not None and (stac or tiles),
        "--value-range": options.value_range is not None and tiles,
        "--collection, --datetime or --max-cloud": not stac
        and (search.collection, search.datetime, search.max_cloud) != (None, None, None),
    }
    kind = "a STAC catalogue" if stac else "a tile service" if tiles else "a raster"
    for names, given in idle.items():
        if given:
            raise InvalidInput(
                f"{names} is given, and the imagery is {kind}",
                expected="options that this kind of imagery knows",
                fix="leave it out, or check --imagery (STAC: stac:ADDRESS; its bands are named by --assets)",
            )


def _local(source: str) -> str:
    if "://" in source or source.startswith("/vsi"):
        raise InvalidInput(
            f"{source[:80]!r} is no source of imagery that is understood",
            expected="a GeoTIFF, an http(s) address of one, a tile template with {z} {x} {y}, or stac:ADDRESS",
            fix="use one of these",
        )
    return source
