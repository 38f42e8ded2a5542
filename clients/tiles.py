"""One satellite or aerial tile for a place, from a configurable image service, with a single bounded request."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from string import Formatter
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from sat2sound.errors import ConfigurationError, InvalidInput, Sat2SoundError

# USGS National Map, United States, public domain. (Its NAIP Plus service also mixes in layers with other terms.)
# adjustAspectRatio must be off: squares on the ground are not squares in degrees, and the service would widen them.
NAIP = (
    "https://imagery.nationalmap.gov/arcgis/rest/services/USGSNAIPImagery/ImageServer/exportImage"
    "?bbox={west:.7f},{south:.7f},{east:.7f},{north:.7f}&bboxSR=4326&imageSR=4326&size={width},{height}"
    "&adjustAspectRatio=false&bandIds=0,1,2&pixelType=U8&format=png&f=image"
)
FIELDS = ("latitude", "longitude", "west", "south", "east", "north", "width", "height")
MAX_TILE_BYTES = 16 * 1024 * 1024
TIMEOUT_SECONDS = 20.0
METRES_PER_DEGREE = 111_320.0  # of latitude; within 0.6 % anywhere, far below a model's sensitivity
_CHUNK = 64 * 1024
_INSTEAD = "give an image file instead, or another service with --tile-url, or no coordinates for the bundled scene"


class TileError(Sat2SoundError):
    """No tile could be fetched. The message names the service, what happened and what to do."""

    def __init__(self, service: str, problem: str, *, fix: str = _INSTEAD) -> None:
        self.service, self.problem, self.fix = service, problem, fix
        super().__init__(f"no tile from {service}: {problem}; to fix it, {fix}")


@dataclass(frozen=True)
class Tile:
    """An encoded image of a place. service: host it came from; url: what was asked."""

    data: bytes
    service: str
    url: str


def tile_url(template: str, latitude: float, longitude: float, *, metres: float, pixels: int) -> str:
    """The address of the tile that covers a square of `metres`, `pixels` wide, centred on a place.

    template: http(s) address with fields among {latitude} {longitude} {west} {south} {east} {north} (degrees,
    EPSG:4326) {width} {height} (pixels). Raises ConfigurationError for a template that cannot be used, InvalidInput
    for a place outside -90..90, -180..180 degrees.
    """
    if not (-90 <= latitude <= 90 and -180 <= longitude <= 180):
        raise InvalidInput(
            f"the place is latitude {latitude:g}, longitude {longitude:g}",
            expected="-90 to 90 and -180 to 180 degrees",
            fix="check that latitude and longitude are not swapped",
        )
    half = metres / 2 / METRES_PER_DEGREE
    half_east = half / max(math.cos(math.radians(latitude)), 1e-6)
    values = {
        "latitude": latitude,
        "longitude": longitude,
        "west": longitude - half_east,
        "south": latitude - half,
        "east": longitude + half_east,
        "north": latitude + half,
        "width": pixels,
        "height": pixels,
    }
    try:
        unknown = {name for _, name, _, _ in Formatter().parse(template) if name is not None} - set(FIELDS)
        url = template.format_map(values) if not unknown else ""
    except (ValueError, KeyError, IndexError, AttributeError) as error:
        raise ConfigurationError(f"the tile address {template!r} is not a template: {error}") from None
    if unknown:
        raise ConfigurationError(
            f"the tile address {template!r} has unknown fields {sorted(unknown)}; known: {', '.join(FIELDS)}"
        )
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigurationError(f"the tile address {template!r} must begin with http:// or https:// and name a host")
    return url


def fetch_tile(url: str, *, timeout: float = TIMEOUT_SECONDS, max_bytes: int = MAX_TILE_BYTES) -> Tile:
    """Fetch an image with one request: no redirects, no retries, bounded in size and in time altogether.

    Raises TileError for every failure, an answer that is no image included.
    """
    service = urlsplit(url).netloc.rpartition("@")[2]
    request = Request(url, headers={"User-Agent": "sat2sound", "Accept": "image/*"})  # noqa: S310 (scheme checked)
    end = time.monotonic() + timeout
    try:
        with build_opener(_NoRedirects).open(request, timeout=timeout) as response:
            kind = response.headers.get_content_type()
            data = bytearray()
            while chunk := response.read1(_CHUNK):
                data += chunk
                if len(data) > max_bytes:
                    raise TileError(service, f"the answer exceeds {max_bytes:,} bytes")
                if time.monotonic() > end:
                    raise TimeoutError
    except TimeoutError:
        raise TileError(service, f"no complete answer within {timeout:g} seconds") from None
    except HTTPError as error:
        with error:
            raise TileError(service, f"it answered HTTP {error.code} {error.reason}") from None
    except URLError as error:
        if isinstance(error.reason, TimeoutError):
            raise TileError(service, f"no complete answer within {timeout:g} seconds") from None
        raise TileError(
            service, f"it cannot be reached ({error.reason})", fix=f"check the network, or {_INSTEAD}"
        ) from None
    except (OSError, ValueError) as error:  # ValueError: http.client's malformed answers
        raise TileError(service, f"the connection failed ({error or type(error).__name__})") from None
    if not kind.startswith("image/"):
        said = bytes(data[:160]).decode("utf-8", "replace").strip()
        raise TileError(service, f"it answered {kind} instead of an image: {said!r}")
    return Tile(bytes(data), service, url)


class _NoRedirects(HTTPRedirectHandler):
    """One request means one: a redirect could also lead anywhere. Unhandled, it surfaces as HTTPError."""

    def redirect_request(self, *args: object, **kwargs: object) -> None:
        """Never follow."""
        return
