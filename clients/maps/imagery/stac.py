"""Images found in a STAC catalogue (Earth Search, Planetary Computer and the like), laid over one another."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import odc.stac
import pystac
import pystac_client
import requests
from odc.geo.geobox import GeoBox
from pystac_client.exceptions import APIError
from rasterio.errors import RasterioError
from rasterio.transform import Affine, array_bounds
from rasterio.warp import transform_bounds
from shapely import union_all
from shapely.geometry import box, shape

from sat2sound.clients.maps.area import LONGITUDE_LATITUDE, Area
from sat2sound.clients.maps.errors import ImageryError
from sat2sound.clients.maps.imagery.addresses import NETWORK, without_secrets
from sat2sound.clients.maps.imagery.base import ImageryFacts, View
from sat2sound.clients.maps.imagery.stretch import Range, to_bytes
from sat2sound.errors import InvalidInput

STAC_PREFIX = "stac:"
_TIMEOUT_SECONDS = 30
_DEFAULT_BANDS = ("red", "green", "blue")
_SENTINEL_RANGE = (0.0, 3000.0)  # of 16-bit surface reflectance in ten-thousandths: 0 to 0.3


@dataclass(frozen=True)
class StacSearch:
    """collection: which; datetime: RFC 3339 date or from/to; max_cloud: percent; limit: most images; bands: assets.

    bands: three assets with one band each (red, green, blue).
    """

    collection: str | None = None
    datetime: str | None = None
    max_cloud: float | None = None
    limit: int = 20
    bands: tuple[str, ...] = _DEFAULT_BANDS


@dataclass(frozen=True)
class StacImagery:
    """catalogue: address. items: what was found, as JSON, least cloudy first. value_range: becomes black and white."""

    catalogue: str
    search: StacSearch
    items: tuple[str, ...] = field(repr=False)
    value_range: Range

    @property
    def remote(self) -> bool:
        """Yes."""
        return True

    def facts(self) -> ImageryFacts:
        """What the items say."""
        items = self._items()
        outline = union_all([shape(item.geometry) for item in items])
        distances = [float(item.properties["gsd"]) for item in items if "gsd" in item.properties]
        note = (
            f"{len(items)} images of {self.search.collection}, the least cloudy on top; {self.value_range[0]:g} to "
            f"{self.value_range[1]:g} become black to white"
        )
        return ImageryFacts(None, Area(outline, is_box=False), None, min(distances) if distances else None, (note,))

    def view(self, crs: str, transform: Affine, height: int, width: int) -> View:
        """A picture on a pixel grid of any CRS: of each place the first image that has data. Raises OSError."""
        geobox = GeoBox((height, width), transform, crs)
        place = box(*transform_bounds(crs, LONGITUDE_LATITUDE, *array_bounds(height, width, transform)))
        items = [item for item in self._items() if shape(item.geometry).intersects(place)]
        values = np.zeros((3, height, width), np.float32)
        valid = np.zeros((height, width), dtype=bool)
        try:
            for item in items:
                if valid.all():
                    break
                found = odc.stac.load([item], bands=list(self.search.bands), geobox=geobox, resampling="cubic")
                layer = [found[band].isel(time=0).to_numpy() for band in self.search.bands]
                seen = _seen(found, self.search.bands, layer) & ~valid
                values[:, seen] = np.stack(layer)[:, seen]
                valid |= seen
        except (RasterioError, ValueError, KeyError) as error:
            raise OSError(f"{without_secrets(self.catalogue)}: {error}") from error
        pixels = to_bytes(values, self.value_range)
        pixels[~valid] = 0
        return View(pixels, valid)

    def to_json(self) -> dict[str, Any]:
        """What identifies it: the images that were found, not the search, whose answer changes with time."""
        return {
            "kind": "stac",
            "address": without_secrets(self.catalogue),
            "collection": self.search.collection,
            "bands": list(self.search.bands),
            "items": [item.id for item in self._items()],
            "value_range": list(self.value_range),
        }

    def _items(self) -> list[pystac.Item]:
        return [pystac.Item.from_dict(json.loads(text)) for text in self.items]


def search_imagery(
    catalogue: str, area: Area | None, search: StacSearch, value_range: Range | None
) -> tuple[StacImagery, ImageryFacts]:
    """Search a catalogue over an area. Raises InvalidInput, ImageryError."""
    if area is None or not search.collection or len(search.bands) != 3 or search.limit < 1:
        raise InvalidInput(
            "a catalogue is searched without an area, a collection or three bands",
            expected="--bbox or --area, --collection, and red, green and blue assets",
            fix="give e.g. --collection sentinel-2-l2a --datetime 2024-06-01/2024-08-31",
        )
    if not catalogue.startswith(NETWORK):
        raise InvalidInput(f"{catalogue[:80]!r} is not an address", expected="stac:https://...", fix="mend it")
    query = None if search.max_cloud is None else {"eo:cloud_cover": {"lt": search.max_cloud}}
    try:
        client = pystac_client.Client.open(catalogue, timeout=_TIMEOUT_SECONDS)
        found = client.search(
            collections=[search.collection],
            intersects=area.to_json(),
            datetime=search.datetime,
            query=query,
            max_items=search.limit,
            sortby=[{"field": "properties.eo:cloud_cover", "direction": "asc"}],
        )
        items = list(found.items())
    except (APIError, requests.RequestException, ValueError, NotImplementedError, pystac.STACError) as error:
        raise ImageryError(
            f"the catalogue {without_secrets(catalogue)} cannot be searched: {str(error)[:300]}",
            fix="check the address, the collection and the network",
        ) from None
    if not items:
        raise ImageryError(
            f"the catalogue {without_secrets(catalogue)} has no image of {search.collection} there and then",
            fix="widen --datetime, --max-cloud or the area",
        )
    missing = sorted({band for item in items for band in search.bands if band not in item.assets})
    if missing:
        raise InvalidInput(
            f"the images have no assets {', '.join(missing)}",
            expected=f"some of {', '.join(sorted(items[0].assets))}",
            fix="give the red, green and blue one with --assets",
        )
    items.sort(key=lambda item: item.properties.get("eo:cloud_cover", 100.0))
    written = tuple(json.dumps(item.to_dict(include_self_link=False, transform_hrefs=False)) for item in items)
    imagery = StacImagery(catalogue, search, written, value_range or _SENTINEL_RANGE)
    return imagery, imagery.facts()


def _seen(found: Any, bands: tuple[str, ...], layer: list[npt.NDArray[Any]]) -> npt.NDArray[np.bool_]:
    """Where every band has a value that is not its nodata (0 where the catalogue does not say)."""
    seen = np.ones(layer[0].shape, dtype=bool)
    for band, values in zip(bands, layer, strict=True):
        nodata = found[band].attrs.get("nodata", 0)
        seen &= np.isfinite(values) & (values != nodata)
    return seen
