"""Draw the pictures of docs/maps.md: `make maps-demo`.

With the shared real data: the mosaic of known scenes, the Bali rice fields, NAIP North Dakota and San Francisco Bay.
Without it: the synthetic beach of this project, nine times in a row of seeds.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import rasterio
from PIL import Image
from rasterio.enums import ColorInterp
from rasterio.transform import Affine
from shapely.geometry import box

from benchmarks.map_quality import PROMPTS
from benchmarks.mosaic import SIDE, write_mosaic
from sat2sound.clients.cli.map_progress import cells_progress, print_report
from sat2sound.clients.cli.terminal import Steps, print_notes
from sat2sound.clients.client import Sat2SoundClient
from sat2sound.clients.maps import api
from sat2sound.clients.maps.answer import answer_queries
from sat2sound.clients.maps.embedding import EmbeddingReport
from sat2sound.clients.maps.errors import OtherMap, OtherModel
from sat2sound.clients.maps.imagery.choose import ImageryOptions, choose_imagery
from sat2sound.clients.maps.layers import read_layers
from sat2sound.clients.maps.places import best_places, write_geojson
from sat2sound.clients.maps.preview import draw_png
from sat2sound.clients.maps.preview_page import draw_page
from sat2sound.clients.maps.store import open_map_store
from sat2sound.clients.sample_scene import sample_scene
from sat2sound.clients.servers import chosen_server

WIDTH = 1140  # pixels of a picture: half as many again as it is shown with, for fine screens


@dataclass(frozen=True)
class Picture:
    """One picture: imagery, what is asked of it, and how. options: of `api.embed`.

    overlay: shapes to draw over it; places: so many of the best are marked.
    """

    name: str
    imagery: Path
    texts: tuple[str, ...]
    title: str
    options: dict[str, Any] = field(default_factory=dict)
    overlay: Path | None = None
    places: int = 0


def real_pictures(data: Path, scratch: Path) -> list[Picture]:
    """The pictures of real data."""
    mosaic = scratch / "mosaic.tif"
    outlines = write_outlines(write_mosaic(data, mosaic), mosaic, scratch / "mosaic-scenes.geojson")
    geotiff = data / "geotiff"
    return [
        Picture(
            "map-mosaic",
            mosaic,
            tuple(PROMPTS.values()),
            "315 test images side by side; outlined: the 15 of the scene that is asked for",
            overlay=outlines,
        ),
        Picture(
            "map-bali",
            geotiff / "drone_bali_pix4d_0.35m.tif",
            ("birds and frogs in rice fields", "traffic on a road"),
            "Rice fields in Bali by drone, 0.35 m per pixel: one cell every 8 m, and the three best places",
            {"spacing": 8.0},
            places=3,
        ),
        Picture(
            "map-naip",
            geotiff / "m_4709963_se_14_1_20200831.tif",
            ("crickets and wind in farmland", "water birds on a lake"),
            "North Dakota, NAIP at 5 m per pixel: 17 times too coarse for the starter, no claim of quality",
        ),
        Picture(
            "map-san-francisco",
            geotiff / "landsat7_sf_bay_432_false_colour.tif",
            ("waves at sea", "traffic in a city"),
            "San Francisco Bay, Landsat, false colour, 30 m: what the warnings are for",
            {"spacing": 400.0, "area": (-122.55, 37.70, -122.35, 37.85)},
        ),
    ]


def write_outlines(scenes: Sequence[Sequence[str]], mosaic: Path, path: Path) -> Path:
    """The cells of each scene as GeoJSON, marked with the prompt that asks for it."""
    with rasterio.open(mosaic) as raster:
        left, top, crs = raster.bounds.left, raster.bounds.top, raster.crs
        side = raster.res[0] * SIDE
    places = [(row, column) for row, column in np.ndindex(np.shape(scenes)) if scenes[row][column] in PROMPTS]
    corners = [(left + column * side, top - row * side) for row, column in places]
    shapes = [box(x, y - side, x + side, y) for x, y in corners]
    prompts = [PROMPTS[scenes[row][column]] for row, column in places]
    layer = geopandas.GeoDataFrame({"query": prompts}, geometry=shapes, crs=crs).to_crs("EPSG:4326")
    path.write_text(layer.to_json(drop_id=True), encoding="utf-8")
    return path


def synthetic_picture(scratch: Path) -> Picture:
    """A row of synthetic beaches as a raster."""
    path = scratch / "synthetic.tif"
    scene = np.concatenate([np.moveaxis(sample_scene(seed), -1, 0) for seed in range(3)], axis=2)
    with rasterio.open(
        path, "w", driver="GTiff", count=3, dtype="uint8", height=scene.shape[1], width=scene.shape[2],
        crs="EPSG:32614", transform=Affine(0.3, 0, 500_000, 0, -0.3, 4_400_000), photometric="RGB",
    ) as raster:  # fmt: skip
        raster.write(scene)
        raster.colorinterp = [ColorInterp.red, ColorInterp.green, ColorInterp.blue]
    return Picture(
        "map-synthetic",
        path,
        ("waves breaking on a sandy beach", "cars rushing by on a motorway"),
        "Synthetic beaches, drawn by this project: no real place",
        {"spacing": 12.0},
    )


def embed(picture: Picture, client: Sat2SoundClient, store: Path) -> EmbeddingReport:
    """Fill the picture's map, or go on with it."""
    with cells_progress(picture.name) as notify:
        return api.embed(str(picture.imagery), store, client, notify=notify, warn=print_notes, **picture.options)


def draw(picture: Picture, client: Sat2SoundClient, scratch: Path, out: Path) -> Path:
    """Embed, ask, draw."""
    store, answer = scratch / f"{picture.name}.zarr", scratch / f"{picture.name}.tif"
    try:
        report = embed(picture, client, store)
    except (OtherModel, OtherMap) as other:  # of an earlier day: other weights, or another picture of this name
        print(other)
        shutil.rmtree(store)
        report = embed(picture, client, store)
    print_report(report, as_json=False)
    answer_queries(store, client, picture.texts, [], answer)
    imagery, _ = choose_imagery(str(picture.imagery), None, ImageryOptions())
    overlays = [picture.overlay] if picture.overlay else []
    if picture.places:
        apart = open_map_store(store).footprint.metres
        overlays.append(write_geojson(scratch / f"{picture.name}.geojson", best_places(answer, picture.places, apart)))
    layers = read_layers(answer, imagery, overlays=overlays)
    draw_page(layers, scratch / f"{picture.name}.html", title=picture.title)
    large = draw_png(layers, scratch / f"{picture.name}-large.png", title=picture.title)
    return small_copy(large, out / f"{picture.name}.png")


def small_copy(large: Path, path: Path) -> Path:
    """A picture for a document: narrower, and of 256 colours, whose lightest is white."""
    with Image.open(large) as image:
        width = min(image.width, WIDTH)
        small = image.convert("RGB").resize(
            (width, round(image.height * width / image.width)), Image.Resampling.LANCZOS
        )
    few = small.quantize(256, kmeans=1)
    palette = np.array(few.getpalette()).reshape(-1, 3)
    palette[palette.sum(axis=1).argmax()] = 255
    few.putpalette(palette.ravel().tolist())
    small.quantize(palette=few, dither=Image.Dither.FLOYDSTEINBERG).save(path, optimize=True)
    return path


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--scratch", type=Path, default=Path("build/maps-demo"))
    parser.add_argument("--out", type=Path, help="default: docs/images with the real data, else the scratch folder")
    parser.add_argument("--server")
    chosen = parser.parse_args(arguments)
    chosen.scratch.mkdir(parents=True, exist_ok=True)
    there = (chosen.data / "images.csv").exists()
    pictures = real_pictures(chosen.data, chosen.scratch) if there else [synthetic_picture(chosen.scratch)]
    out = chosen.out or (Path("docs/images") if there else chosen.scratch)
    out.mkdir(parents=True, exist_ok=True)
    with chosen_server(chosen.server, Steps()) as found, Sat2SoundClient(found.url) as client:
        for picture in pictures:
            print(draw(picture, client, chosen.scratch, out))


if __name__ == "__main__":
    main()
