"""The STAC item beside a map: what it is, where it lies, how it was made."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pystac
from pyproj import Transformer
from shapely.geometry import box, mapping

import sat2sound
from sat2sound.atomic_files import replacing_file
from sat2sound.clients.maps.area import LONGITUDE_LATITUDE
from sat2sound.clients.maps.conventions import PROJECT, projection
from sat2sound.clients.maps.store import MapStore, Status, storing

_EXTENSIONS = (
    "https://stac-extensions.github.io/embeddings/v0.0.1/schema.json",
    "https://stac-extensions.github.io/projection/v2.0.0/schema.json",
    "https://stac-extensions.github.io/processing/v1.2.0/schema.json",
)


def item_path(store: Path) -> Path:
    """Where the item of a map lies: area.zarr -> area.stac.json."""
    return store.with_name(f"{store.name.removesuffix('.zarr')}.stac.json")


def write_item(store: MapStore, counts: dict[Status, int]) -> Path:
    """Write the item, replacing an earlier one. Raises StorageFailed."""
    grid, described = store.grid, store.described
    attributes: dict[str, Any] = dict(store.group.attrs)
    to_degrees = Transformer.from_crs(grid.crs, LONGITUDE_LATITUDE, always_xy=True)
    bounds = to_degrees.transform_bounds(*grid.bounds)
    now = datetime.now(UTC)
    properties = {
        "created": now.isoformat(),
        "gsd": grid.spacing,
        "data_type": described["plan"]["stored"],
        **projection(grid.crs),
        "proj:shape": [grid.height, grid.width],
        "proj:transform": list(grid.transform)[:6],
        "emb:type": "chip",
        "emb:dimensions": attributes["geoemb:dimensions"],
        "emb:chip_layout": attributes["geoemb:chip_layout"],
        "emb:runtime_parameters": {**described["plan"], "model": store.model.name},
        "processing:datetime": now.isoformat(),
        "processing:software": {"sat2sound": sat2sound.__version__},
        "sat2sound:cells": {status.name.lower(): count for status, count in counts.items()},
    }
    if "geoemb:quantization" in attributes:
        properties["emb:quantization"] = {
            name: attributes["geoemb:quantization"][name] for name in ("method", "original_dtype", "quantized_dtype")
        }
    item = pystac.Item(
        id=store.path.name.removesuffix(".zarr"),
        geometry=mapping(box(*bounds)),
        bbox=list(bounds),
        datetime=now,
        properties=properties,
        stac_extensions=list(_EXTENSIONS),
    )
    item.add_link(pystac.Link("emb:model", PROJECT, title=store.model.name))
    for source in attributes["geoemb:source_data"]:
        item.add_link(pystac.Link("emb:source-data", source))
    media_type = "application/vnd.zarr; version=3"
    item.add_asset("embeddings", pystac.Asset(f"./{store.path.name}", media_type=media_type, roles=["data"]))
    path = item_path(store.path)
    document = item.to_dict(include_self_link=False, transform_hrefs=False)
    with storing(path), replacing_file(path) as partial:
        partial.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    return path
