"""Maps from Python: embed an area into a Zarr store, open it as an xarray.Dataset, score it, write and draw it.

from sat2sound.clients.maps import api

with api.connect("localhost:8001") as client:
    report = api.embed("region.tif", "region.zarr", client)
    area = api.open_map("region.zarr")             # xarray.Dataset, lazy
    scores = api.score(area, client, texts=["waves on a beach"])
scores.score.isel(query=0).plot()
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import xarray as xr

from sat2sound.clients.client import Sat2SoundClient
from sat2sound.clients.maps.area import Area, area_of_box, area_of_file
from sat2sound.clients.maps.embedding import EmbeddingReport, Report, RunSettings, fill_map
from sat2sound.clients.maps.footprint import Footprint
from sat2sound.clients.maps.identity import ModelIdentity, check_same, served_identity
from sat2sound.clients.maps.imagery.choose import ImageryOptions, choose_imagery
from sat2sound.clients.maps.plan import MIN_VALID, plan_map
from sat2sound.clients.maps.quantisation import check_stored_type
from sat2sound.clients.maps.query import embed_queries, open_map, score_map

__all__ = ["connect", "embed", "open_map", "score"]


def connect(url: str) -> Sat2SoundClient:
    """A client for a server's gRPC address (host:port); use it as a context manager."""
    return Sat2SoundClient(url)


def embed(
    imagery: str,
    out: str | Path,
    client: Sat2SoundClient,
    *,
    area: Area | Sequence[float] | str | Path | None = None,
    options: ImageryOptions | None = None,
    spacing: float | None = None,
    zoom_level: int = 1,
    month: int | None = None,
    hour: int | None = None,
    min_valid: float = MIN_VALID,
    dtype: str = "int8",
    settings: RunSettings | None = None,
    notify: Report = lambda finished, total: None,
    warn: Callable[[Sequence[str]], None] = lambda notes: None,
) -> EmbeddingReport:
    """Embed an area, or go on where an earlier call with the same arguments ended.

    imagery: as `sat2sound map embed --imagery`. area: west, south, east, north in degrees, or a GeoJSON file; default:
    the raster's extent. spacing: metres, default the crop's footprint. month: 1 to 12; hour: local, 0 to 23. dtype:
    float32, float16 or int8. notify: called with finished and all pending cells. warn: called before the work with
    what to know about the imagery (also in the report). Raises Sat2SoundError.
    """
    stored = check_stored_type(dtype)
    region = _area(area)
    model = served_identity(client)
    source, facts = choose_imagery(imagery, region, options or ImageryOptions())
    footprint = Footprint(model.config.satellite_type, zoom_level)
    plan, notes = plan_map(
        source,
        facts,
        footprint,
        area=region,
        spacing=spacing,
        month=month,
        hour=hour,
        min_valid=min_valid,
        stored=stored,
    )
    warn(notes)
    url = client.connection.url
    return fill_map(Path(out), plan, model, url, notes=notes, settings=settings, report=notify)


def score(
    dataset: xr.Dataset,
    client: Sat2SoundClient,
    *,
    texts: Sequence[str] = (),
    recordings: Sequence[str | Path] = (),
    softmax: float | None = None,
) -> xr.Dataset:
    """Score an open map, or a part of it: "score" float32 [query, y, x], lazy. Raises OtherModel, InvalidInput."""
    check_same(ModelIdentity.from_json(dataset.attrs["sat2sound"]["model"]), served_identity(client), "the map")
    queries = embed_queries(client, texts, [Path(path) for path in recordings])
    return score_map(dataset, queries, softmax=softmax)


def _area(given: Area | Sequence[float] | str | Path | None) -> Area | None:
    if given is None or isinstance(given, Area):
        return given
    if isinstance(given, str | Path):
        return area_of_file(Path(given))
    return area_of_box(given)
