"""A map's metadata in the words of published conventions, so that other programs understand the store.

Zarr conventions proj, spatial (GeoZarr) and geoemb (geo-embeddings); CF grid mapping; STAC item with the embedding
extension. Attribute names are theirs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pyproj import CRS

from sat2sound.clients.maps.identity import ModelIdentity
from sat2sound.clients.maps.plan import Plan

_CONVENTIONS = (
    ("proj:", "f17cb550-5864-4468-aeb7-f3180cfb622f", "zarr-experimental/geo-proj", "coordinate reference system"),
    ("spatial", "689b58e2-cf7b-45e0-9fff-9cfc0883d6b4", "zarr-conventions/spatial", "array indexes to coordinates"),
    (
        "geoemb:",
        "61c12cc5-0e28-4056-999a-480cf3fb7e4c",
        "geo-embeddings/embeddings-zarr-convention",
        "embeddings and the model that made them",
    ),
)
PROJECT = "https://arxiv.org/abs/2505.13777"  # the model is referred to by the paper; its name is in "sat2sound"


def group_attributes(plan: Plan, model: ModelIdentity, version: str) -> dict[str, Any]:
    """Attributes of the Zarr group."""
    grid = plan.grid
    attributes: dict[str, Any] = {
        "zarr_conventions": [
            {
                "name": name,
                "uuid": uuid,
                "spec_url": f"https://github.com/{repository}/blob/v1/README.md",
                "schema_url": f"https://raw.githubusercontent.com/{repository}/refs/tags/v1/schema.json",
                "description": description,
            }
            for name, uuid, repository, description in _CONVENTIONS
        ],
        **projection(grid.crs),
        "spatial:dimensions": ["y", "x"],
        "spatial:transform": list(grid.transform)[:6],
        "spatial:shape": [grid.height, grid.width],
        "spatial:bbox": list(grid.bounds),
        "spatial:registration": "pixel",
        "geoemb:type": "chip",
        "geoemb:dimensions": model.config.embedding,
        "geoemb:model": PROJECT,
        "geoemb:source_data": [source_name(plan.imagery.to_json())],
        "geoemb:data_type": plan.stored,
        "geoemb:gsd": plan.footprint.metres_per_pixel,
        "geoemb:chip_layout": chip_layout(plan),
        "geoemb:build_version": version,
    }
    if plan.stored == "int8":
        attributes["geoemb:quantization"] = {
            "method": "per_pixel_scale",
            "original_dtype": "float32",
            "quantized_dtype": "int8",
            "scale": {"type": "array", "array_name": "scale"},
        }
    return attributes


def projection(crs: str) -> dict[str, Any]:
    """proj:code where the CRS has one, else proj:wkt2."""
    known = CRS.from_user_input(crs)
    authority = known.to_authority(min_confidence=100)
    return {"proj:code": ":".join(authority)} if authority else {"proj:wkt2": known.to_wkt()}


def chip_layout(plan: Plan) -> dict[str, Any]:
    """Size and stride of the crops in pixels of the model's ground sample distance."""
    side, stride = plan.footprint.pixels, round(plan.grid.spacing / plan.footprint.metres_per_pixel)
    return {"layout_type": "regular_grid", "chip_size": [side, side], "stride": [stride, stride]}


def source_name(described: Mapping[str, Any]) -> str:
    """One line that names the imagery. described: `Imagery.to_json`."""
    return str(described.get("path") or described.get("address") or described["kind"])
