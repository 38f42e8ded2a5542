"""Scores as a Cloud-Optimized GeoTIFF: one band per query, written row of shards by row of shards."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import rasterio
import xarray as xr
from rasterio.transform import Affine
from rasterio.windows import Window
from rio_cogeo.cogeo import cog_translate
from rio_cogeo.profiles import cog_profiles

from sat2sound.clients.maps.query import Query
from sat2sound.clients.maps.store import storing

BLOCK_SIZE = 256
_SMALLEST_OVERVIEW = 64  # pixels: below, a viewer needs no coarser picture


def write_scores(
    path: Path,
    scores: xr.Dataset,
    queries: Sequence[Query],
    tags: Mapping[str, str],
    report: Callable[[int, int], None] = lambda finished, total: None,
) -> Path:
    """Write "score" [query, y, x] of `score_map`. tags: said in the file beside the queries' digests.

    report: called with finished and all rows. The file is there whole or not at all. Raises StorageFailed.
    """
    array = scores["score"]
    height, width = array.sizes["y"], array.sizes["x"]
    rows = array.chunksizes["y"][0] if array.chunksizes else height
    reference = scores["spatial_ref"].attrs
    with storing(path), tempfile.TemporaryDirectory(dir=path.absolute().parent, prefix=f".{path.name}.") as folder:
        plain, finished = Path(folder) / "plain.tif", Path(folder) / "cog.tif"
        with rasterio.open(
            plain,
            "w",
            driver="GTiff",
            height=height,
            width=width,
            count=len(queries),
            dtype="float32",
            nodata=np.nan,
            crs=reference["crs_wkt"],
            transform=Affine.from_gdal(*map(float, reference["GeoTransform"].split())),
            tiled=True,
            blockxsize=BLOCK_SIZE,
            blockysize=BLOCK_SIZE,
            bigtiff="IF_SAFER",
        ) as output:
            for start in range(0, height, rows):
                part = array.isel(y=slice(start, start + rows)).to_numpy()
                output.write(part, window=Window(0, start, width, part.shape[1]))
                report(min(start + rows, height), height)
            output.update_tags(**tags)
            for band, query in enumerate(queries, 1):
                output.set_band_description(band, query.name)
                output.update_tags(band, SAT2SOUND_QUERY_KIND=query.kind, SAT2SOUND_QUERY_SHA256=query.digest)
        level = 0
        while min(height, width) >> (level + 1) >= _SMALLEST_OVERVIEW // 2 and level < 10:
            level += 1
        cog_translate(
            plain,
            finished,
            {**cog_profiles.get("deflate"), "blockxsize": BLOCK_SIZE, "blockysize": BLOCK_SIZE, "bigtiff": "IF_SAFER"},
            nodata=np.nan,
            overview_level=level,
            overview_resampling="average",
            forward_band_tags=True,
            in_memory=False,
            quiet=True,
        )
        finished.replace(path)
    return path
